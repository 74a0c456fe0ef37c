#include "api/daemon/config.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <optional>
#include <set>

#include "api/daemon/instance_lock.h"
#include "api/daemon/settings.h"
#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "tests/support/temp_tree.h"

namespace mydocker::daemon {
namespace {

/// Without the machine's own daemon.json.
Config parse(std::vector<std::string> arguments) {
  static const test::TempTree tree{{"daemon.json", "{}"}};
  arguments.push_back("--config-file=" + tree.path("daemon.json"));
  return parse_config(arguments);
}

std::string message_of(const std::vector<std::string>& arguments) {
  try {
    parse(arguments);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.message();
  }
}

std::string file_message(std::string_view text, const std::vector<std::string>& from_flags = {}) {
  Config config;
  try {
    apply_config_file(text, from_flags, config);
    return "";
  } catch (const Error& error) {
    return error.message();
  }
}

TEST(DaemonFlags, DefaultsAreDocumentedOnes) {
  const Config config = parse({});
  EXPECT_EQ(config.hosts, std::vector<std::string>{"unix:///run/mydocker.sock"});
  EXPECT_EQ(config.pidfile, "/run/mydocker/mydockerd.pid");
  EXPECT_EQ(config.engine.data_root, "/var/lib/mydocker");
  EXPECT_EQ(config.engine.bridge, "mydocker0");
  EXPECT_EQ(config.group, "docker");
}

TEST(DaemonFlags, AllFormsOfAFlag) {
  EXPECT_EQ(parse({"--data-root", "/a/"}).engine.data_root, "/a");
  EXPECT_EQ(parse({"--data-root=/a"}).engine.data_root, "/a");
  const std::vector<std::string> hosts{"unix:///a", "unix:///b", "unix:///c"};
  EXPECT_EQ(parse({"-H", "unix:///a", "-Hunix:///b", "--host=unix:///c"}).hosts, hosts);
  EXPECT_TRUE(parse({"-D"}).engine.debug);
  EXPECT_EQ(parse({"-DH", "unix:///a"}).hosts.size(), 1U);
  EXPECT_FALSE(parse({"--icc=false"}).engine.icc);
  EXPECT_TRUE(parse({"--icc"}).engine.icc);
  EXPECT_EQ(parse({"--exec-root=/x"}).pidfile, "/x/mydockerd.pid");
  EXPECT_EQ(parse({"--default-shm-size=128m"}).engine.default_shm_size_bytes, 128 << 20);
}

TEST(DaemonFlags, ListsGrow) {
  const Config config = parse({"--dns=1.1.1.1", "--dns", "::1", "--log-opt", "max-size=1m", "--log-opt=max-file=2",
                               "--default-ulimit", "nofile=1:2", "--add-runtime=crun=/usr/bin/crun",
                               "--default-address-pool", "base=10.0.0.0/8,size=24", "--label=a=b"});
  EXPECT_EQ(config.engine.dns.size(), 2U);
  EXPECT_EQ(config.engine.log_options.at("max-file"), "2");
  EXPECT_EQ(config.engine.default_ulimits.at("nofile"), (std::pair<std::int64_t, std::int64_t>{1, 2}));
  EXPECT_EQ(config.engine.runtimes.at("crun").path, "/usr/bin/crun");
}

TEST(DaemonFlags, TheDefaultRuntimeIsARegisteredOne) {
  EXPECT_EQ(parse({"--default-runtime=crun", "--add-runtime=crun=/usr/bin/crun"}).engine.default_runtime, "crun");
  EXPECT_EQ(message_of({"--default-runtime=crun"}), "specified default runtime 'crun' does not exist");
  EXPECT_NE(message_of({"--add-runtime=a=/x", "--add-runtime=a=/y"}).find("runtime 'a' was already registered"),
            std::string::npos);
}

TEST(DaemonFlags, MistakesAreNamed) {
  EXPECT_EQ(message_of({"--nope"}), "unknown flag: --nope");
  EXPECT_EQ(message_of({"-x"}), "unknown shorthand flag: 'x' in -x");
  EXPECT_EQ(message_of({"--data-root=rel"}), "--data-root: \"rel\" is not an absolute path");
  EXPECT_EQ(message_of({"word"}), "unexpected argument: word");
  EXPECT_EQ(message_of({"--mtu=big"}), "--mtu: \"big\" is not a number from 68 to 65535");
  EXPECT_EQ(parse({"--metrics-addr=127.0.0.1:9323"}).metrics_address, "127.0.0.1:9323");
  EXPECT_EQ(message_of({"--metrics-addr=9323"}), "--metrics-addr: \"9323\" is not of the form address:port");
  EXPECT_EQ(message_of({"--metrics-addr=tcp://127.0.0.1:9323"}),
            "--metrics-addr: \"tcp://127.0.0.1:9323\" is not of the form address:port");
  EXPECT_EQ(message_of({"--metrics-addr=a:0"}), "--metrics-addr: \"0\" is not a number from 1 to 65535");
  EXPECT_EQ(message_of({"--userns-remap=default"}), "--userns-remap: is not implemented yet");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"-H", "tcp://0.0.0.0:2375"},
                                             {"-H", "unix://rel"},
                                             {"-H", "/run/x"},
                                             {"--icc=maybe"},
                                             {"--dns=x"},
                                             {"--bip=172.17.0.1"},
                                             {"--bip=172.17.0.1/33"},
                                             {"--exec-opt=native.cgroupdriver=zz"},
                                             {"--exec-opt=a=b"},
                                             {"--log-level=loud"},
                                             {"--live-restore=false"},
                                             {"--storage-driver=vfs"},
                                             {"--default-ulimit=nofile=5:1"},
                                             {"--add-runtime=x"},
                                             {"--label=x"},
                                             {"--default-address-pool=base=1.2.3.4/8"},
                                             {"--max-concurrent-downloads=0"},
                                             {"-H", "tcp://0.0.0.0:2375", "--tls"},
                                             {"--tlscert=rel"},
                                             {"--feature=x"},
                                             {"--iptables=false"}}) {
    EXPECT_NE(message_of(arguments), "") << arguments[0];
  }
}

TEST(DaemonFlags, AnArgumentMustFollow) {
  EXPECT_THROW(parse_config({"--data-root"}), Error);
  EXPECT_THROW(parse_config({"-H"}), Error);
}

TEST(DaemonFile, EveryKindOfValue) {
  Config config;
  apply_config_file(R"({"data-root":"/d","debug":true,"mtu":1400,"hosts":["unix:///a"],"log-opts":{"max-size":"5m",
    "max-file":3},"default-ulimits":{"nofile":{"Name":"nofile","Hard":64000,"Soft":1000}},"runtimes":{"crun":{"path":"/c","runtimeArgs":["--debug"]}},
    "default-address-pools":[{"base":"172.80.0.0/16","size":24}],"insecure-registries":["r:5000"],"icc":null})",
                    {}, config);
  EXPECT_EQ(config.engine.data_root, "/d");
  EXPECT_EQ(config.engine.mtu, 1400);
  EXPECT_EQ(config.engine.log_options.at("max-file"), "3");
  EXPECT_EQ(config.engine.default_ulimits.at("nofile"), (std::pair<std::int64_t, std::int64_t>{1000, 64000}));
  EXPECT_EQ(config.engine.runtimes.at("crun"), (engine::OciRuntime{.path = "/c", .arguments = {"--debug"}}));
  EXPECT_EQ(config.engine.default_address_pools.at(0), "base=172.80.0.0/16,size=24");
  EXPECT_EQ(config.engine.insecure_registries.at(0), "r:5000");
}

TEST(DaemonFile, MistakesAreNamed) {
  EXPECT_EQ(file_message(R"({"nope":1})"), "the following directives don't match any configuration option: nope");
  EXPECT_EQ(file_message(R"({"validate":true})"),
            "the following directives don't match any configuration option: validate");
  EXPECT_EQ(file_message(R"({"hosts":["unix:///a"]})", {"hosts"}),
            "the following directives are specified both as a flag and in the configuration file: hosts");
  EXPECT_NE(file_message("{"), "");
  EXPECT_NE(file_message("[]"), "");
  EXPECT_NE(file_message(R"({"mtu":[1]})"), "");
  EXPECT_NE(file_message(R"({"mtu":1.5})"), "");
}

TEST(DaemonFile, AMissingFileMattersOnlyWhenNamed) {
  EXPECT_THROW(parse_config({"--config-file=/nonexistent/daemon.json"}), Error);
}

TEST(DaemonFlags, TcpIsServedWithMutualTlsOnly) {
  EXPECT_NE(message_of({"-H", "tcp://127.0.0.1:2376"}).find("mutual TLS only"), std::string::npos);
  const Config config = parse({"-H", "tcp://127.0.0.1:2376", "-H", "unix:///a", "-H", "fd://", "--tlsverify",
                               "--tlscacert=/ca", "--tlscert=/cert", "--tlskey=/key"});
  EXPECT_EQ(config.hosts.size(), 3U);
  EXPECT_TRUE(config.tls_verify);
  EXPECT_EQ(config.tls_ca + config.tls_certificate + config.tls_key, "/ca/cert/key");
}

TEST(DaemonReload, WhatCannotChangeWhileRunningIsNamed) {
  Config running;
  apply_config_file(R"({"mtu":1400,"labels":["a=b"],"data-root":"/d"})", {}, running);
  Config fresh;
  apply_config_file(R"({"mtu":1500,"labels":["a=c"],"debug":true,"data-root":"/d","icc":false})", {}, fresh);
  EXPECT_EQ(find_fixed_changes(running, fresh), (std::vector<std::string>{"icc", "mtu"}));
  EXPECT_EQ(find_fixed_changes(fresh, fresh), std::vector<std::string>{});
}

TEST(DaemonReload, FeaturesAreAMap) {
  Config config;
  apply_config_file(R"({"features":{"buildkit":true,"other":false}})", {}, config);
  EXPECT_EQ(config.engine.features, (std::map<std::string, bool>{{"buildkit", true}, {"other", false}}));
}

TEST(DaemonSettings, NamesAreUnique) {
  std::set<std::string_view> flags;
  std::set<std::string_view> keys;
  std::set<char> letters;
  for (const Setting& setting : all_settings()) {
    EXPECT_TRUE(flags.insert(setting.flag).second) << setting.flag;
    if (!setting.key.empty()) EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    if (setting.letter != 0) EXPECT_TRUE(letters.insert(setting.letter).second) << setting.letter;
    EXPECT_FALSE(setting.help.empty()) << setting.flag;
  }
}

/// A child that runs `body` and then waits until it is killed.
pid_t start_child(const std::function<void()>& body) {
  const Pipe ready = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      body();
      (void)!::write(ready.write.get(), "r", 1);
    } catch (const Error&) {
    }
    for (;;) ::pause();
  }
  char byte = 0;
  EXPECT_EQ(::read(ready.read.get(), &byte, 1), 1);
  return child;
}

void end_child(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(InstanceLock, OneEngineADataRoot) {
  const test::TempTree tree{};
  std::optional<InstanceLock> held;
  const pid_t holder = start_child([&] { held.emplace(tree.path("lock"), "data-root /x"); });
  try {
    const InstanceLock second(tree.path("lock"), "data-root /x");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::conflict);
    EXPECT_EQ(error.message(), concat("data-root /x is in use by another engine, process ", holder));
  }
  end_child(holder);
  const InstanceLock next(tree.path("lock"), "data-root /x");
  next.write_pid();
  EXPECT_EQ(read_file(tree.path("lock")), concat(::getpid(), '\n'));
}

/// An engine that was killed while it started a program: the child between fork and exec is no engine.
TEST(InstanceLock, AChildThatOutlivesTheEngineHoldsNothing) {
  const test::TempTree tree{};
  std::optional<InstanceLock> held;
  pid_t* const child =
      static_cast<pid_t*>(::mmap(nullptr, sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<void*>(child), MAP_FAILED);
  const pid_t holder = start_child([&] {
    held.emplace(tree.path("lock"), "data-root /x");
    *child = start_child([] {});
  });
  end_child(holder);
  EXPECT_NO_THROW(InstanceLock(tree.path("lock"), "data-root /x"));
  ::kill(*child, SIGKILL);  // not ours to wait for
  ::munmap(child, sizeof(pid_t));
}

}  // namespace
}  // namespace mydocker::daemon
