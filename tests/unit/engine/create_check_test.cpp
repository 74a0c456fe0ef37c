#include "engine/create_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

HostFacts two_cpus() {
  HostFacts facts;
  facts.cpu_count = 2;
  facts.online_cpus = "0-1";
  return facts;
}

std::string refusal(api::HostConfig host, const api::ContainerConfig& config = {}, HostFacts facts = two_cpus()) {
  try {
    check_host_config(host, config, Options{}, facts);
  } catch (const Error& e) {
    return e.message();
  }
  return "accepted";
}

template <typename Change>
api::HostConfig host_with(Change change) {
  api::HostConfig host;
  change(host);
  return host;
}

TEST(CreateCheck, LimitsAreRefusedInDockersWords) {
  EXPECT_EQ(refusal(host_with([](auto& h) { h.memory_bytes = 1 << 20; })), "Minimum memory limit allowed is 6MB");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.nano_cpus = 3'000'000'000; })),
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available");
  EXPECT_THAT(refusal(host_with([](auto& h) { h.memory_swap_bytes = 100 << 20; })),
              testing::HasSubstr("You should always set the Memory limit"));
  EXPECT_EQ(refusal(host_with([](auto& h) { h.cpuset_cpus = "9"; })),
            "Requested CPUs are not available - requested 9, available: 0-1");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.blkio_weight = 5; })), "Range of blkio weight is from 10 to 1000");
  EXPECT_EQ(refusal(host_with([](auto& h) {
              h.nano_cpus = 500'000'000;
              h.cpu_quota_us = 50'000;
            })),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
}

TEST(CreateCheck, AWeightThatNoSchedulerKnowsIsRefused) {
  HostFacts facts = two_cpus();
  const api::HostConfig weighted = host_with([](auto& h) { h.blkio_weight = 300; });
  EXPECT_EQ(refusal(weighted, {}, facts), "accepted");
  facts.has_blkio_weight = false;
  EXPECT_THAT(refusal(weighted, {}, facts), testing::HasSubstr("a block I/O weight cannot be set"));
}

TEST(CreateCheck, LogDriversAndOptionsAreChecked) {
  EXPECT_EQ(refusal(host_with([](auto& h) { h.log_config = {"local", {}}; })), "accepted");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.log_config = {"json-file", {{"compress", "true"}}}; })), "accepted");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.log_config = {"json-file", {{"max-size", "1m"}}}; })), "accepted");
  EXPECT_THAT(refusal(host_with([](auto& h) { h.log_config = {"zz", {}}; })), testing::HasSubstr("'zz'"));
  EXPECT_THAT(refusal(host_with([](auto& h) { h.log_config = {"json-file", {{"zz", "1"}}}; })),
              testing::HasSubstr("unknown log opt 'zz' for json-file log driver"));
}

TEST(CreateCheck, ModesAreRefusedInDockersWords) {
  EXPECT_EQ(refusal(host_with([](auto& h) { h.pid_mode = "private"; })), "invalid PID mode: private");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.cgroupns_mode = "foo"; })), "invalid cgroup namespace mode: foo");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.ipc_mode = "zz"; })), "invalid IPC mode: zz");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.cap_add = api::StringList{"CAP_NOPE"}; })),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\"");
  EXPECT_EQ(refusal(host_with([](auto& h) { h.runtime = "nope"; })), "unknown or invalid runtime name: nope");
  EXPECT_EQ(refusal(host_with([](auto& h) {
              h.auto_remove = true;
              h.restart_policy.name = "always";
            })),
            "can't create 'AutoRemove' container with restart policy");
  EXPECT_THAT(refusal(host_with([](auto& h) { h.log_config = {"zz", {}}; })),
              testing::HasSubstr("no log driver named 'zz'"));
  EXPECT_EQ(refusal(host_with([](auto& h) { h.log_config = {"json-file", {{"zz", "1"}}}; })),
            "unknown log opt 'zz' for json-file log driver");
  EXPECT_THAT(refusal(host_with([](auto& h) { h.security_opt = api::StringList{"zzz"}; })),
              testing::HasSubstr("invalid --security-opt"));
  EXPECT_EQ(refusal(host_with([](auto& h) { h.extra_hosts = api::StringList{"a"}; })),
            "bad format for add-host: \"a\"");
  EXPECT_THAT(refusal(host_with([](auto& h) { h.port_bindings["abc"] = std::nullopt; })),
              testing::HasSubstr("invalid port specification"));
}

TEST(CreateCheck, ContainerNetworkModeExcludesWhatItCannotHave) {
  const auto with_mode = [](auto change) {
    return host_with([&](auto& h) {
      h.network_mode = "container:web";
      change(h);
    });
  };
  EXPECT_EQ(refusal(with_mode([](auto& h) { h.publish_all_ports = true; })),
            "conflicting options: port publishing and the container type network mode");
  api::ContainerConfig named;
  named.hostname = "x";
  EXPECT_EQ(refusal(with_mode([](auto&) {}), named), "conflicting options: hostname and the network mode");
}

TEST(CreateCheck, DefaultsAreFilledInAsInspectPrintsThem) {
  api::HostConfig host;
  host.memory_bytes = 100 << 20;
  host.memory_swappiness = -1;
  host.pids_limit = 0;
  check_host_config(host, {}, Options{}, two_cpus());
  EXPECT_EQ(host.memory_swap_bytes, 200 << 20);
  EXPECT_FALSE(host.memory_swappiness);
  EXPECT_FALSE(host.pids_limit);
  EXPECT_EQ(host.network_mode, "bridge");
  EXPECT_EQ(host.ipc_mode, "private");
  EXPECT_EQ(host.cgroupns_mode, "private");
  EXPECT_EQ(host.shm_size_bytes, 67108864);
  EXPECT_EQ(host.restart_policy.name, "no");
  EXPECT_EQ(host.log_config.type, "json-file");
}

TEST(CreateCheck, ImageConfigFillsWhatTheRequestLeavesOpen) {
  image::ImageConfig image;
  image.env = {{"PATH=/bin", "A=image", "B=image"}};
  image.cmd = {{"sh"}};
  image.entrypoint = {{"/entry"}};
  image.labels = std::map<std::string, std::string>{{"k", "image"}, {"l", "image"}};
  api::ContainerConfig config;
  config.env = api::StringList{"A=mine", "B"};
  config.labels = {{"k", "mine"}};
  merge_image_config(config, image);
  EXPECT_EQ(*config.env, (api::StringList{"A=mine", "B", "PATH=/bin"}));
  EXPECT_EQ(config.labels, (api::StringMap{{"k", "mine"}, {"l", "image"}}));
  EXPECT_EQ(*config.cmd, api::CommandLine({"sh"}));
  EXPECT_EQ(*config.entrypoint, api::CommandLine({"/entry"}));
}

TEST(CreateCheck, AnEntrypointOfTheRequestDropsTheImagesCommand) {
  image::ImageConfig image;
  image.cmd = {{"sh"}};
  image.entrypoint = {{"/entry"}};
  api::ContainerConfig replaced;
  replaced.entrypoint = api::CommandLine({"/mine"});
  merge_image_config(replaced, image);
  EXPECT_FALSE(replaced.cmd);
  api::ContainerConfig emptied;
  emptied.entrypoint = api::CommandLine({""});
  emptied.cmd = api::CommandLine({"ls"});
  merge_image_config(emptied, image);
  EXPECT_FALSE(emptied.entrypoint);
  EXPECT_EQ(*emptied.cmd, api::CommandLine({"ls"}));
  api::ContainerConfig none;
  none.entrypoint = api::CommandLine{};
  merge_image_config(none, image);
  EXPECT_EQ(*none.cmd, api::CommandLine({"sh"}));
}

TEST(CreateCheck, NamesAreTokens) {
  EXPECT_EQ(check_name("/web"), "web");
  EXPECT_EQ(check_name("a.b-c_1"), "a.b-c_1");
  for (const char* bad : {"", "/", "a", "-ab", "a/b", "a b", "../x", "\xc3\xa9t"})
    EXPECT_THROW(check_name(bad), Error) << bad;
}

TEST(CreateCheck, CpuListsAreParsed) {
  EXPECT_EQ(parse_cpu_list("0-2,7\n"), (std::vector<int>{0, 1, 2, 7}));
  EXPECT_THROW(parse_cpu_list("2-0"), Error);
  EXPECT_THROW(parse_cpu_list("a"), Error);
}

TEST(CreateCheck, BadConfigsAreRefused) {
  const auto refused = [](auto change) {
    api::ContainerConfig config;
    change(config);
    try {
      check_config(config);
    } catch (const Error& e) {
      return e.message();
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refused([](auto& c) { c.env = api::StringList{"=x"}; }), "invalid environment variable: =x");
  EXPECT_EQ(refused([](auto& c) { c.stop_signal = "ZZ"; }), "Invalid signal: ZZ");
  EXPECT_EQ(refused([](auto& c) { c.working_dir = "rel"; }),
            "the working directory 'rel' is invalid, it needs to be an absolute path");
  EXPECT_THAT(refused([](auto& c) { c.hostname = "a\nb"; }), testing::HasSubstr("invalid hostname"));
  EXPECT_THAT(refused([](auto& c) { c.hostname = std::string(65, 'a'); }), testing::HasSubstr("invalid hostname"));
  EXPECT_EQ(refused([](auto& c) {
              c.healthcheck.emplace();
              c.healthcheck->interval_ns = 5;
            }),
            "Interval in Healthcheck cannot be less than 1ms");
}

}  // namespace
}  // namespace mydocker::engine
