#include <gtest/gtest.h>

#include <string>

#include "cli/table.h"
#include "engine/base/template/template.h"

namespace mydocker::cli {
namespace {

using text_template::Template;

struct Case {
  std::string_view source;
  std::string_view expected;
};

const json::value& document() {
  static const json::value value = parse_json(R"({
    "Id": "abc123", "Pid": 42, "Zero": 0, "Ratio": 1.5, "Running": true, "Nothing": null, "CpuShares": 7,
    "Labels": {"b": "2", "a": "1", "x.y-z": "dotted"},
    "List": ["x", "y", "z"], "Empty": [],
    "Env": null,
    "State": {"Status": "running", "Running": true},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": null}})");
  return value;
}

std::string run(std::string_view source) {
  try {
    return Template::parse(source).execute(document());
  } catch (const Error& error) {
    return "ERROR " + error.message();
  }
}

void check(std::initializer_list<Case> cases) {
  for (const Case& one : cases) EXPECT_EQ(run(one.source), one.expected) << one.source;
}

TEST(Template, FieldsAndConstants) {
  check({{"plain", "plain"},
         {"{{.Id}} {{.ID}} {{.CPUShares}}", "abc123 abc123 7"},
         {"{{.Pid}}|{{.Ratio}}|{{.Running}}", "42|1.5|true"},
         {"{{.State.Status}}", "running"},
         {"{{.State}}", "{running true}"},
         {"{{.Labels}}", "map[a:1 b:2 x.y-z:dotted]"},
         {"{{.List}} {{.Empty}} {{.Env}} {{.Nothing}}", "[x y z] [] [] <nil>"},
         {"{{.Ports}}", "map[80/tcp:[{0.0.0.0 8080}] 81/tcp:<nil>]"},
         {"{{\"a\\tb\\u00e9\\x41\"}}{{`raw\\n`}}{{1.5}}{{0x10}}{{'a'}}{{-3}}", "a\tb\u00e9Araw\\n1.51697-3"},
         {"{{(index .List 1)}}{{(.State).Status}}", "yrunning"}});
}

TEST(Template, ControlStructures) {
  check({{"{{if .Running}}y{{else}}n{{end}}", "y"},
         {"{{if .Zero}}y{{else if .Pid}}p{{else}}n{{end}}", "p"},
         {"{{if .Empty}}y{{end}}", ""},
         {"{{range .List}}<{{.}}>{{end}}", "<x><y><z>"},
         {"{{range .Empty}}x{{else}}none{{end}}", "none"},
         {"{{range $i, $e := .List}}{{$i}}={{$e}},{{end}}", "0=x,1=y,2=z,"},
         {"{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "a:1 b:2 x.y-z:dotted "},
         {"{{range .List}}{{if eq . \"y\"}}{{continue}}{{end}}{{.}}{{end}}", "xz"},
         {"{{range .List}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x"},
         {"{{range 3}}{{.}}{{end}}", "012"},
         {"{{with .State}}{{.Status}}{{end}}{{with .Nothing}}x{{else}}none{{end}}", "runningnone"},
         {"{{$x := .Id}}{{$x}}{{$x = \"q\"}}{{$x}}", "abc123q"},
         {"{{range .List}}{{$.Id}}{{end}}", "abc123abc123abc123"},
         {"a {{- /* gone */ -}} b", "ab"},
         {"a {{- .Pid -}} b", "a42b"},
         {"{{define \"x\"}}[{{.}}]{{end}}{{template \"x\" .Pid}}{{block \"y\" .Id}}<{{.}}>{{end}}", "[42]<abc123>"}});
}

TEST(Template, Functions) {
  check(
      {{"{{json .Labels}}", R"({"b":"2","a":"1","x.y-z":"dotted"})"},
       {"{{json \"<a&b>\"}}", "\"<a&b>\""},
       {"{{upper .Id}} {{lower \"ABC\"}} {{title \"foo bar\"}}", "ABC123 abc Foo Bar"},
       {"{{join .List \"-\"}} {{join (split \"a,b\" \",\") \"+\"}}", "x-y-z a+b"},
       {"{{.Id | printf \"%.3s\" | upper}}", "ABC"},
       {"{{printf \"%5d|%-5d|%05d|%x|%q|%v|%t|%%\" 42 42 42 255 \"s\" .List true}}",
        "   42|42   |00042|ff|\"s\"|[x y z]|true|%"},
       {"{{printf \"%d\" \"s\"}} {{printf \"%s\"}} {{printf \"a\" 1}}", "%!d(string=s) %!s(MISSING) a%!(EXTRA int=1)"},
       {"{{printf \"%.2f %8.3f|\" 1.0 .Ratio}}", "1.00    1.500|"},
       {"{{print 1 2 \"a\" \"b\" 3}}{{println 1 \"a\"}}", "1 2ab31 a\n"},
       {"{{len .List}} {{len .Id}} {{len .Labels}}", "3 6 3"},
       {"{{index .Labels \"x.y-z\"}}{{index .Labels \"none\"}}|{{index .List 2}}", "dotted|z"},
       {"{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"},
       {"{{eq .Pid 42}} {{eq .Id \"x\" \"abc123\"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}",
        "true true true true true false false"},
       {"{{and .Zero (index .List 99)}} {{or .Id (index .List 99)}} {{not .Zero}}", "0 abc123 true"},
       {"{{slice .Id 1 3}} {{slice .List 1}} {{truncate .Id 2}} {{pad \"x\" 1 2}}|", "bc [y z] ab  x  |"},
       {"{{html \"<a>\"}} {{js \"it's\"}} {{urlquery \"a b&c\"}}", "&lt;a&gt; it\\'s a+b%26c"}});
}

TEST(Template, ErrorsAreGosWords) {
  check({{"{{.Foo}}", "ERROR template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""},
         {"x\n {{.State.Nope}}",
          "ERROR template: :2:9: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\""},
         {"{{.Id.X}}", "ERROR template: :1:5: executing \"\" at <.Id.X>: can't evaluate field X in type string"},
         {"{{.Foo", "ERROR template: :1: unclosed action"},
         {"{{if .Id}}x", "ERROR template: :1: unexpected EOF"},
         {"{{end}}", "ERROR template: :1: unexpected {{end}}"},
         {"{{nofunc .}}", "ERROR template: :1: function \"nofunc\" not defined"},
         {"{{$x}}", "ERROR template: :1: undefined variable \"$x\""},
         {"{{}}", "ERROR template: :1: missing value for command"},
         {"{{if}}{{end}}", "ERROR template: :1: missing value for if"},
         {"{{.Id}", "ERROR template: :1: bad character U+007D '}'"},
         {"{{\"abc}}", "ERROR template: :1: unterminated quoted string"},
         {"{{(.Id}}", "ERROR template: :1: unclosed left paren"},
         {"{{nil}}", "ERROR template: :1:2: executing \"\" at <nil>: nil is not a command"},
         {"{{len 3}}", "ERROR template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"},
         {"{{index .List 9}}",
          "ERROR template: :1:2: executing \"\" at <index .List 9>: error calling index: index out of range: 9"},
         {"{{eq 1 1.0}}",
          "ERROR template: :1:2: executing \"\" at <eq 1 1.0>: error calling eq: incompatible types for comparison"},
         {"{{break}}", "ERROR template: :1: {{break}} outside {{range}}"}});
}

TEST(Template, AbsentKeysOfTypedStructsAreNilAtTheEndOfAPath) {
  check({{"{{.State.Health}}", "<nil>"},
         {"{{if .State.Health}}y{{else}}n{{end}}", "n"},
         {"{{.State.Health.Status}}",
          "ERROR template: :1:8: executing \"\" at <.State.Health.Status>: map has no entry for key \"Health\""}});
}

TEST(Template, FieldsThatAreLeftOutHaveGosZeroValues) {
  const json::value data = parse_json(R"({"Config":{"Labels":{"a":"b"}},"Mounts":[{"Destination":"/d","Source":"/s"}],
                                          "NetworkSettings":{"Networks":{"bridge":{"IPAddress":"1.2.3.4"}}}})");
  const std::pair<const char*, const char*> rows[] = {
      {"{{.Config.StopSignal}}|{{.Config.NetworkDisabled}}|{{.Config.Healthcheck}}", "|false|<nil>"},
      {"{{range .Mounts}}{{.Name}}|{{.Driver}}|{{.Source}}{{end}}", "||/s"},
      {"{{.Config.Labels.a}} {{.Config.Labels.none}}", "b <no value>"},
      {"{{.NetworkSettings.Networks.bridge.IPAddress}}", "1.2.3.4"},
      {"{{.NetworkSettings.Networks.none.IPAddress}}", "<no value>"},
      {"{{if .Config.Labels.none}}y{{else}}n{{end}}", "n"}};
  for (const auto& [text, expected] : rows) EXPECT_EQ(Template::parse(text).execute(data), expected) << text;
  EXPECT_THROW(Template::parse("{{.Name}}").execute(data), Error) << "no mount, no name";
}

TEST(Template, GarbageIsAnErrorOrText) {
  static constexpr std::string_view pieces[] = {"{{", "}}",     ".",   "$",   "|",  "(",     ")",    "\"", "`",
                                                "'",  "range ", "end", "if ", ":=", ",",     "-",    " ",  "x",
                                                "9",  "{{-",    "-}}", "/*",  "*/", "json ", "else", "\\"};
  std::uint32_t state = 1;
  for (int round = 0; round < 20000; ++round) {
    std::string source = round % 2 == 0 ? "{{" : "";
    for (int part = 0; part < 8; ++part) {
      state = state * 1664525 + 1013904223;
      source += pieces[(state >> 8) % std::size(pieces)];
    }
    run(source);  // must neither crash nor hang
  }
}

TEST(Template, DeepNestingIsRefused) {
  std::string source;
  for (int level = 0; level < 5000; ++level) source += "{{if .Id}}";
  EXPECT_TRUE(run(source).starts_with("ERROR"));
  EXPECT_TRUE(run("{{" + std::string(5000, '(') + ".Id" + std::string(5000, ')') + "}}").starts_with("ERROR"));
  EXPECT_TRUE(run("{{define \"x\"}}{{template \"x\" .}}{{end}}{{template \"x\" .}}").starts_with("ERROR"));
}

ListPrinter make_printer(std::string format, bool quiet = false) {
  ListFormat list;
  list.format = std::move(format);
  list.quiet = quiet;
  list.type_name = "*formatter.ContainerContext";
  list.default_table = "table {{.ID}}\t{{.Names}}";
  ListPrinter printer(list, {{"ID", "CONTAINER ID"}, {"Names", "NAMES"}, {"Ports", "PORTS"}});
  printer.add({{"Names", json::value("web")}, {"ID", json::value("123456789abc")}, {"Ports", json::value("80->80")}},
              label_method({{"com.example.build-date", "today"}}));
  printer.add({{"Names", json::value("a-much-longer-name")}, {"ID", json::value("0")}, {"Ports", json::value("")}});
  return printer;
}

TEST(List, DefaultTableIsAligned) {
  EXPECT_EQ(make_printer("").render(), "CONTAINER ID   NAMES\n123456789abc   web\n0              a-much-longer-name\n");
}

TEST(List, FormatsOfTheUser) {
  EXPECT_EQ(make_printer("{{.Names}}:{{.ID}}").render(), "web:123456789abc\na-much-longer-name:0\n");
  EXPECT_EQ(make_printer("table {{.Names}}\\t{{.Ports}}").render(),
            "NAMES                PORTS\nweb                  80->80\na-much-longer-name   \n");
  EXPECT_EQ(make_printer("table {{upper .Names}}").render(), "NAMES\nWEB\nA-MUCH-LONGER-NAME\n");
  EXPECT_EQ(make_printer("json").render(),
            "{\"ID\":\"123456789abc\",\"Names\":\"web\",\"Ports\":\"80-\\u003e80\"}\n"
            "{\"ID\":\"0\",\"Names\":\"a-much-longer-name\",\"Ports\":\"\"}\n");
  EXPECT_EQ(make_printer("", true).render(), "123456789abc\n0\n");
}

TEST(List, LabelTakesAnArgumentAndTitlesTheColumn) {
  ListFormat list;
  list.format = "table {{.Label \"com.example.build-date\"}}";
  ListPrinter printer(list, {{"ID", "ID"}});
  printer.add({{"ID", json::value("1")}}, label_method({{"com.example.build-date", "today"}}));
  EXPECT_EQ(printer.render(), "build date\ntoday\n");
}

TEST(List, UnknownFieldNamesTheType) {
  try {
    make_printer("{{.Foo}}").render();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "failed to execute template: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type "
              "*formatter.ContainerContext");
  }
}

}  // namespace
}  // namespace mydocker::cli
