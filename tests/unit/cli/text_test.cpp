#include <gtest/gtest.h>

#include "cli/command/info_text.h"
#include "cli/command/lists.h"
#include "cli/config_file.h"
#include "cli/endpoint.h"
#include "cli/json_indent.h"
#include "cli/progress.h"
#include "cli/reference.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/time_argument.h"
#include "cli/units.h"
#include "engine/base/base64.h"
#include "tests/support/temp_tree.h"

namespace mydocker::cli {

using test::TempTree;
namespace {

TEST(Units, HumanSizes) {
  EXPECT_EQ(human_size(0), "0B");
  EXPECT_EQ(human_size(999), "999B");
  EXPECT_EQ(human_size(1982450), "1.982MB");
  EXPECT_EQ(human_size(1982450, 3), "1.98MB");
  EXPECT_EQ(human_size(4261550, 3), "4.26MB");
  EXPECT_EQ(human_size(1e9), "1GB");
  EXPECT_EQ(binary_size(495616), "484KiB");
  EXPECT_EQ(binary_size(25276510208.0), "23.54GiB");
}

TEST(Units, ParsedSizes) {
  const auto parse = [](std::string_view text) -> std::string {
    try {
      return std::to_string(parse_size_bytes(text));
    } catch (const Error& error) {
      return error.message();
    }
  };
  EXPECT_EQ(parse("100"), "100");
  EXPECT_EQ(parse("100m"), "104857600");
  EXPECT_EQ(parse("1.5 GiB"), "1610612736");
  EXPECT_EQ(parse("2KB"), "2048");
  EXPECT_EQ(parse("x"), "invalid size: 'x'");
  EXPECT_EQ(parse("-1"), "invalid size: '-1'");
  EXPECT_EQ(parse("1zb"), "invalid suffix: 'zb'");
  EXPECT_EQ(parse("1mx"), "invalid suffix: 'mx'");
}

TEST(Units, TextIsCutByCharacters) {
  EXPECT_EQ(ellipsis("short", 20), "short");
  EXPECT_EQ(ellipsis("sh -c 'while true; do sleep 1; done'", 20), "sh -c 'while true; …");
  EXPECT_EQ(ellipsis("ääääää", 4), "äää…");
  EXPECT_EQ(short_id("sha256:0123456789abcdef"), "0123456789ab");
}

TEST(Tabs, ColumnsEndWhereLinesHaveNoCell) {
  EXPECT_EQ(align_tabs("a\tb\nccccccccccccc\td\n"), "a               b\nccccccccccccc   d\n");
  EXPECT_EQ(align_tabs("a\tb\nx\nccccccccccccc\td\n"), "a         b\nx\nccccccccccccc   d\n");
  EXPECT_EQ(align_tabs("ä\tb\n"), "ä         b\n");
}

TEST(Ports, NeighboursBecomeRanges) {
  const auto port = [](std::string ip, std::uint16_t inside, std::uint16_t outside) {
    return api::Port{std::move(ip), inside, outside, "tcp"};
  };
  EXPECT_EQ(ports_text({port("0.0.0.0", 80, 8080), port("::", 80, 8080), port("0.0.0.0", 9000, 9000),
                        port("0.0.0.0", 9001, 9001), port("0.0.0.0", 9002, 9002)}),
            "0.0.0.0:9000-9002->9000-9002/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
  EXPECT_EQ(ports_text({port("", 443, 0)}), "443/tcp");
  EXPECT_EQ(ports_text({port("", 1, 0), port("", 2, 0), port("", 9, 0)}), "1-2/tcp, 9/tcp");
  EXPECT_EQ(ports_text({}), "");
}

TEST(Reference, Table) {
  const auto canonical = [](std::string_view text) -> std::string {
    try {
      return parse_reference(text).canonical();
    } catch (const Error& error) {
      return error.message();
    }
  };
  EXPECT_EQ(canonical("busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(canonical("busybox:1"), "docker.io/library/busybox:1");
  EXPECT_EQ(canonical("me/app"), "docker.io/me/app:latest");
  EXPECT_EQ(canonical("127.0.0.1:5000/t/app:2"), "127.0.0.1:5000/t/app:2");
  EXPECT_EQ(canonical("localhost/app"), "localhost/app:latest");
  EXPECT_EQ(canonical("Bad:x"), "invalid reference format: repository name (library/Bad) must be lowercase");
  EXPECT_EQ(canonical("a:"), "invalid reference format");
  EXPECT_EQ(canonical(""), "invalid reference format");
  EXPECT_EQ(canonical("a b"), "invalid reference format");
  EXPECT_EQ(canonical("-x"), "invalid reference format");
  EXPECT_EQ(canonical(std::string(64, 'a')),
            "invalid repository name (" + std::string(64, 'a') + "), cannot specify 64-byte hexadecimal strings");
  EXPECT_EQ(parse_reference("docker.io/library/busybox:1").familiar(), "busybox:1");
  EXPECT_EQ(parse_reference("docker.io/me/app").familiar(), "me/app:latest");
}

TEST(Json, IndentKeepsEverythingButWhiteSpace) {
  EXPECT_EQ(
      indent_json(R"([{"a": [] ,"b":{},"c":[1,"x\"y: {"],"d":"\u003c"}])", "    "),
      "[\n    {\n        \"a\": [],\n        \"b\": {},\n        \"c\": [\n            1,\n            \"x\\\"y: {\"\n"
      "        ],\n        \"d\": \"\\u003c\"\n    }\n]");
  EXPECT_EQ(indent_json("[]", "    "), "[]");
}

TEST(DetachKeys, AreParsed) {
  EXPECT_EQ(parse_detach_keys(""), "\x10\x11");
  EXPECT_EQ(parse_detach_keys("ctrl-a,x,DEL"), std::string("\x01x\x7f"));
  EXPECT_EQ(parse_detach_keys("ctrl-["), "\x1b");
  EXPECT_THROW(parse_detach_keys("x,yy"), Error);
}

TEST(DetachKeys, PartialMatchesAreHeldBack) {
  DetachScanner scanner("\x10\x11");
  std::string before;
  EXPECT_EQ(scanner.feed("ab\x10", before), "ab");
  EXPECT_EQ(scanner.feed("c", before),
            "\x10"
            "c");
  EXPECT_EQ(scanner.feed("\x10\x10", before), "\x10");
  EXPECT_EQ(scanner.feed("x\x10", before), "\x10x");
  EXPECT_EQ(scanner.feed("\x11", before), std::nullopt);
  EXPECT_EQ(before, "");
}

TEST(Progress, BarNeedsRoom) {
  EXPECT_EQ(progress_text({32768, 2219949}, 80), " 32.77kB/2.22MB");
  EXPECT_EQ(progress_text({500, 1000}, 120),
            "[" + std::string(25, '=') + ">" + std::string(25, ' ') + "]     500B/1kB");
  EXPECT_EQ(progress_text({32768, 0}, 120), " 32.77kB");
  EXPECT_EQ(progress_text({0, 0}, 120), "");
}

TEST(Endpoint, Table) {
  EXPECT_EQ(parse_endpoint("unix:///a/b").path, "/a/b");
  EXPECT_EQ(parse_endpoint("tcp://h:1").url(), "tcp://h:1");
  EXPECT_EQ(parse_endpoint("tcp://[::1]:5").host, "::1");
  EXPECT_EQ(parse_endpoint("h:1/x").port, "1");
  EXPECT_THROW(parse_endpoint("foo://x"), Error);
}

TEST(Config, LoginsBecomeHeaders) {
  ConfigFile config;
  config.logins["https://index.docker.io/v1/"].auth = encode_base64("me:secret");
  config.logins["127.0.0.1:5000"].auth = encode_base64("you:pw");
  EXPECT_EQ(*decode_base64(registry_auth_header(config, "docker.io")),
            R"({"username":"me","password":"secret","serveraddress":"https://index.docker.io/v1/"})");
  EXPECT_EQ(*decode_base64(registry_auth_header(config, "127.0.0.1:5000")),
            R"({"username":"you","password":"pw","serveraddress":"127.0.0.1:5000"})");
  EXPECT_EQ(*decode_base64(registry_auth_header(config, "other")), "{}");
  EXPECT_EQ(encode_base64("a"), "YQ==");
  EXPECT_EQ(encode_base64url("ab?"), "YWI_");
}

TEST(Config, ContextsAreFoundByName) {
  const TempTree tree{
      {"config.json", R"({"psFormat":"{{.ID}}","currentContext":"remote","unknown":[1]})"},
      {"contexts/meta/abc/meta.json",
       R"({"Name":"remote","Metadata":{"Description":"d"},"Endpoints":{"docker":{"Host":"unix:///x"}}})"}};
  EXPECT_EQ(read_config_file(tree.path()).ps_format, "{{.ID}}");
  const auto contexts = read_contexts(tree.path());
  ASSERT_EQ(contexts.size(), 1U);
  EXPECT_EQ(contexts[0].name, "remote");
  EXPECT_EQ(contexts[0].host, "unix:///x");
  EXPECT_TRUE(read_config_file(tree.path() + "/none").current_context.empty());
}

TEST(Time, Arguments) {
  EXPECT_EQ(time_argument("1136073600.5"), "1136073600.5");
  EXPECT_EQ(time_argument("2006-01-02T15:04:05Z"), "1136214245.000000000");
  EXPECT_EQ(time_argument("2006-01-02T15:04:05.25Z"), "1136214245.250000000");
  EXPECT_NO_THROW(time_argument("42m"));
  EXPECT_NO_THROW(time_argument("2013-01-02"));
  EXPECT_THROW(time_argument("bad"), Error);
}

}  // namespace
}  // namespace mydocker::cli
