#include "cli/arguments.h"

#include <gtest/gtest.h>

#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/container_options.h"
#include "cli/registry.h"

namespace mydocker::cli {
namespace {

constexpr Flag flags[] = {
    {"tty", 't', FlagKind::boolean, "", ""},
    {"interactive", 'i', FlagKind::boolean, "", ""},
    {"rm", 0, FlagKind::boolean, "", ""},
    {"all", 'a', FlagKind::boolean, "", ""},
    {"env", 'e', FlagKind::list, "list", ""},
    {"filter", 'f', FlagKind::list, "filter", "", check_filter},
    {"publish", 'p', FlagKind::list, "list", ""},
    {"memory", 'm', FlagKind::single, "bytes", "", check_bytes},
    {"last", 'n', FlagKind::single, "int", "", check_int},
};

// "name=[value][value]" for each flag, then the positionals.
std::string parse(std::vector<std::string> words, Grammar grammar) {
  try {
    const Arguments arguments = parse_arguments(flags, std::move(words), grammar);
    std::string out = arguments.help ? "help " : "";
    for (const auto& [name, values] : arguments.values) {
      out += name + "=";
      for (const std::string& value : values) out += "[" + value + "]";
      out += " ";
    }
    for (const std::string& word : arguments.positionals) out += "<" + word + ">";
    return out;
  } catch (const UsageError& error) {
    return error.message();
  }
}

std::string run_style(std::vector<std::string> words) { return parse(std::move(words), Grammar::flags_first); }
std::string ps_style(std::vector<std::string> words) { return parse(std::move(words), Grammar::mixed); }

TEST(Arguments, RunStopsAtTheFirstPositional) {
  EXPECT_EQ(run_style({"-it", "--rm", "-e", "A=B=C", "-p8080:80", "img", "-it", "--rm"}),
            "env=[A=B=C] interactive=[true] publish=[8080:80] rm=[true] tty=[true] <img><-it><--rm>");
  EXPECT_EQ(run_style({"--", "img", "-x"}), "<img><-x>");
  EXPECT_EQ(run_style({"-it", "--", "img", "cmd"}), "interactive=[true] tty=[true] <img><cmd>");
  EXPECT_EQ(run_style({"--rm", "false", "img"}), "rm=[true] <false><img>");
  EXPECT_EQ(run_style({"img", "--help"}), "<img><--help>");
}

TEST(Arguments, ValuesInEverySpelling) {
  EXPECT_EQ(run_style({"--rm=false", "-i=false", "-e", "--rm", "img"}),
            "env=[--rm] interactive=[false] rm=[false] <img>");
  EXPECT_EQ(run_style({"--env=", "-e=x", "-tie=A=B", "--env=A=B=C", "img"}),
            "env=[][x][A=B][A=B=C] interactive=[true] tty=[true] <img>");
  EXPECT_EQ(run_style({"-m", "1g", "-m", "2g", "img"}), "memory=[1g][2g] <img>");
  EXPECT_EQ(run_style({"-e", "[a,b]", "-e", "--", "img"}), "env=[[a,b]][--] <img>");
}

TEST(Arguments, ListsTakeFlagsAnywhere) {
  EXPECT_EQ(ps_style({"a", "-n", "3", "b", "-af", "name=x", "--", "-q"}),
            "all=[true] filter=[name=x] last=[3] <a><b><-q>");
  EXPECT_EQ(ps_style({"-n", "-1"}), "last=[-1] ");
  EXPECT_EQ(ps_style({"-"}), "<->");
}

TEST(Arguments, ErrorsAreDockersWords) {
  EXPECT_EQ(ps_style({"--nope"}), "unknown flag: --nope");
  EXPECT_EQ(ps_style({"--nope=3"}), "unknown flag: --nope");
  EXPECT_EQ(ps_style({"-z"}), "unknown shorthand flag: 'z' in -z");
  EXPECT_EQ(run_style({"-itz", "img"}), "unknown shorthand flag: 'z' in -z");
  EXPECT_EQ(run_style({"--memory"}), "flag needs an argument: --memory");
  EXPECT_EQ(run_style({"-m"}), "flag needs an argument: 'm' in -m");
  EXPECT_EQ(run_style({"-m", "x", "img"}), "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'");
  EXPECT_EQ(ps_style({"-n", "x"}),
            "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(ps_style({"--all=foo"}),
            "invalid argument \"foo\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax");
  EXPECT_EQ(ps_style({"-f", "foo"}),
            "invalid argument \"foo\" for \"-f, --filter\" flag: bad format of filter (expected name=value)");
}

TEST(Arguments, HelpWinsOverWrongFlags) {
  EXPECT_EQ(ps_style({"--help"}), "help ");
  EXPECT_EQ(ps_style({"--help", "-n", "x"}), "help last=[x] ");
}

TEST(Commands, AreFoundByEveryName) {
  const auto name = [](std::vector<std::string> words) {
    const FoundCommand found = find_command(words);
    return found.command != nullptr ? std::string(found.command->name) : std::string("none");
  };
  EXPECT_EQ(name({"ps"}), "ps");
  EXPECT_EQ(name({"container", "ls"}), "ps");
  EXPECT_EQ(name({"container", "run"}), "run");
  EXPECT_EQ(name({"image", "rm"}), "rmi");
  EXPECT_EQ(name({"image", "pull"}), "pull");
  EXPECT_EQ(name({"network", "ls"}), "network ls");
  EXPECT_EQ(name({"system", "info"}), "info");
  EXPECT_EQ(name({"container", "pull"}), "none");
  EXPECT_EQ(name({"nope"}), "none");
}

TEST(Commands, EveryOneHasHelp) {
  EXPECT_NE(main_help().find("run  "), std::string::npos);
  for (const char* group : {"container", "image", "network", "volume", "system", "context"}) {
    EXPECT_NE(group_help(group).find("Commands:"), std::string::npos) << group;
  }
  const FoundCommand run = find_command({"run"});
  EXPECT_NE(command_help(*run.command, "run").find("-v, --volume list"), std::string::npos);
}

api::ContainerCreateRequest create_request(std::vector<std::string> words) {
  return make_create_request(parse_arguments(container_flags(), std::move(words), Grammar::flags_first), ConfigFile{});
}

TEST(CreateRequest, CarriesTheFlags) {
  const auto request = create_request(
      {"-itd",    "--rm", "--cpus=0.5", "-m",        "100m", "--memory-swap", "-1", "-e",   "A=1", "-l", "k=v", "-p",
       "8080:80", "-v",   "/a:/b:ro",   "--network", "none", "--init",        "-h", "host", "img", "sh", "-c",  "x"});
  EXPECT_EQ(request.image, "img");
  EXPECT_EQ(*request.cmd, (std::vector<std::string>{"sh", "-c", "x"}));
  EXPECT_TRUE(request.tty && request.open_stdin && request.stdin_once && request.attach_stdin);
  EXPECT_EQ(request.hostname, "host");
  EXPECT_EQ(request.host_config.nano_cpus, 500000000);
  EXPECT_EQ(request.host_config.memory_bytes, 100 << 20);
  EXPECT_EQ(request.host_config.memory_swap_bytes, -1);
  EXPECT_EQ(request.host_config.network_mode, "none");
  EXPECT_TRUE(request.host_config.auto_remove);
  EXPECT_EQ(request.host_config.init, true);
  EXPECT_EQ(*request.host_config.binds, std::vector<std::string>{"/a:/b:ro"});
  EXPECT_EQ(request.labels.at("k"), "v");
  EXPECT_EQ(request.host_config.port_bindings.at("80/tcp")->at(0).host_port, "8080");
  EXPECT_TRUE(request.exposed_ports.contains("80/tcp"));
}

TEST(CreateRequest, AbsentFlagsStayAbsent) {
  const auto request = create_request({"img"});
  EXPECT_FALSE(request.cmd || request.entrypoint || request.env || request.healthcheck || request.stop_timeout_s);
  EXPECT_FALSE(request.host_config.init || request.host_config.binds || request.host_config.memory_swappiness);
  EXPECT_EQ(request.host_config.network_mode, "default");
  EXPECT_EQ(request.host_config.restart_policy.name, "no");
  EXPECT_TRUE(request.networking_config.endpoints_config.empty());
  EXPECT_TRUE(request.attach_stdout && request.attach_stderr && !request.attach_stdin);
}

TEST(CreateRequest, ConflictsAreRefused) {
  const auto message = [](std::vector<std::string> words) -> std::string {
    try {
      create_request(std::move(words));
      return "accepted";
    } catch (const Error& error) {
      return error.message();
    }
  };
  EXPECT_EQ(message({"--rm", "--restart", "always", "img"}),
            "conflicting options: cannot specify both --restart and --rm");
  EXPECT_EQ(message({"--no-healthcheck", "--health-cmd", "x", "img"}),
            "--no-healthcheck conflicts with --health-* options");
  EXPECT_EQ(message({"--pid", "foo", "img"}), "--pid: invalid PID mode");
  EXPECT_EQ(message({"--memory-swappiness", "500", "img"}),
            "invalid value: 500. Valid memory swappiness range is 0-100");
  EXPECT_EQ(message({"--network-alias", "x", "img"}),
            "network-scoped aliases are only supported for user-defined networks");
  EXPECT_EQ(message({"--log-driver", "none", "--log-opt", "a=b", "img"}), "invalid logging opts for driver none");
  EXPECT_EQ(message({"--mac-address", "zz", "img"}), "zz is not a valid mac address");
}

}  // namespace
}  // namespace mydocker::cli
