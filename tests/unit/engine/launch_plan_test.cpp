#include "engine/launch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

using testing::Contains;
using testing::Not;

class LaunchPlanning : public testing::Test {
 protected:
  LaunchPlanning() {
    input.record.id = std::string(64, 'a');
    input.record.path = "/bin/sh";
    input.record.args = {"-c", "true"};
    input.record.config.hostname = "box";
    input.options = &options;
    input.facts = &facts;
    input.paths = &paths;
    input.init_program = "/lib/mydocker-init";
    check_host_config(input.record.host_config, input.record.config, options, facts);
  }

  LaunchPlan plan() { return plan_launch(input); }

  static const runtime::Mount* find_mount(const LaunchPlan& plan, const std::string& target) {
    for (const runtime::Mount& mount : plan.spec.mounts) {
      if (mount.destination == target) return &mount;
    }
    return nullptr;
  }
  static bool has_namespace(const LaunchPlan& plan, const std::string& type) {
    return runtime::find_namespace(plan.spec, type) != nullptr;
  }

  Options options;
  HostFacts facts;
  storage::Paths paths{"/data"};
  LaunchInput input;
};

TEST_F(LaunchPlanning, ADefaultContainerHasEveryNamespaceAndTheDefaultRights) {
  const LaunchPlan made = plan();
  for (const char* type : {"pid", "network", "mount", "uts", "ipc", "cgroup", "time"})
    EXPECT_TRUE(has_namespace(made, type)) << type;
  EXPECT_FALSE(has_namespace(made, "user"));
  EXPECT_TRUE(made.shim.default_seccomp);
  EXPECT_FALSE(made.spec.process.no_new_privileges);
  EXPECT_THAT(made.spec.process.capabilities->bounding, Contains("CAP_CHOWN"));
  EXPECT_THAT(made.spec.process.capabilities->bounding, Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_TRUE(made.spec.process.capabilities->inheritable.empty());
  EXPECT_EQ(made.spec.hostname, "box");
  EXPECT_EQ(made.spec.linux.cgroups_path, "/mydocker/" + input.record.id);
  EXPECT_EQ(made.network_kind, NetworkKind::attach);
  EXPECT_EQ(made.network_name, "bridge");
}

TEST_F(LaunchPlanning, HalfACpuAndAHundredMegabytesBecomeQuotaAndLimit) {
  input.record.host_config.nano_cpus = 500'000'000;
  input.record.host_config.memory_bytes = 100 << 20;
  input.record.host_config.memory_swap_bytes = 200 << 20;
  const runtime::Resources resources = *plan().spec.linux.resources;
  EXPECT_EQ(resources.cpu->quota, 50'000);
  EXPECT_EQ(resources.cpu->period, 100'000U);
  EXPECT_EQ(resources.memory->limit, 100 << 20);
  EXPECT_EQ(resources.memory->swap, 200 << 20);
}

TEST_F(LaunchPlanning, EnvironmentIsPathHostnameThenTheRequest) {
  input.record.config.env = api::StringList{"A=1", "GONE"};
  EXPECT_EQ(plan().spec.process.env,
            (std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                      "HOSTNAME=box", "A=1"}));
}

TEST_F(LaunchPlanning, PrivilegedLiftsMasksFilterAndDeviceRules) {
  input.record.host_config.privileged = true;
  const LaunchPlan made = plan();
  EXPECT_FALSE(made.shim.default_seccomp);
  EXPECT_FALSE(made.spec.linux.seccomp);
  ASSERT_EQ(made.spec.linux.resources->devices.size(), 1U);
  EXPECT_TRUE(made.spec.linux.resources->devices[0].allow);
  EXPECT_THAT(find_mount(made, "/sys")->options, Not(Contains("ro")));
  EXPECT_THAT(made.spec.process.capabilities->bounding, Contains("CAP_SYS_ADMIN"));
}

TEST_F(LaunchPlanning, CapabilitiesAreAddedAndDropped) {
  api::HostConfig& host = input.record.host_config;
  host.cap_drop = api::StringList{"ALL"};
  host.cap_add = api::StringList{"net_admin"};
  EXPECT_EQ(plan_capabilities(host), std::vector<std::string>{"CAP_NET_ADMIN"});
  host.cap_drop = api::StringList{"CAP_CHOWN"};
  host.cap_add.reset();
  EXPECT_THAT(plan_capabilities(host), Not(Contains("CAP_CHOWN")));
}

TEST_F(LaunchPlanning, SharedNamespacesAreNotMade) {
  api::HostConfig& host = input.record.host_config;
  host.network_mode = "host";
  host.pid_mode = "host";
  host.ipc_mode = "host";
  host.uts_mode = "host";
  const LaunchPlan made = plan();
  for (const char* type : {"network", "pid", "ipc", "uts"}) EXPECT_FALSE(has_namespace(made, type)) << type;
  EXPECT_EQ(find_mount(made, "/dev/shm")->type, "bind");
  EXPECT_TRUE(made.spec.linux.sysctl.empty());
}

TEST_F(LaunchPlanning, InitIsBoundAndComesFirst) {
  input.record.host_config.init = true;
  const LaunchPlan made = plan();
  EXPECT_EQ(made.spec.process.args, (std::vector<std::string>{"/sbin/docker-init", "--", "/bin/sh", "-c", "true"}));
  EXPECT_EQ(find_mount(made, "/sbin/docker-init")->source, "/lib/mydocker-init");
}

TEST_F(LaunchPlanning, AUserMountTakesTheDefaultOnesPlace) {
  input.record.host_config.binds = api::StringList{"/srv:/etc/hosts", "/x:/dev/shm:ro"};
  const LaunchPlan made = plan();
  EXPECT_EQ(find_mount(made, "/etc/hosts")->source, "/srv");
  EXPECT_EQ(find_mount(made, "/dev/shm")->source, "/x");
  EXPECT_THAT(find_mount(made, "/dev/shm")->options, Contains("rro"));
}

TEST_F(LaunchPlanning, UlimitsOfTheRequestAreNamedAsRequested) {
  input.record.host_config.ulimits = std::vector<api::Ulimit>{{.name = "nofile", .hard = 2048, .soft = 1024}};
  const LaunchPlan made = plan();
  EXPECT_EQ(made.shim.requested_rlimits, std::vector<std::string>{"RLIMIT_NOFILE"});
  const auto& limits = made.spec.process.rlimits;
  const auto found =
      std::find_if(limits.begin(), limits.end(), [](const auto& l) { return l.type == "RLIMIT_NOFILE"; });
  ASSERT_NE(found, limits.end());
  EXPECT_EQ(found->hard, 2048U);
}

TEST_F(LaunchPlanning, PortsBecomeRequests) {
  api::HostConfig& host = input.record.host_config;
  host.port_bindings["80/tcp"] = std::vector<api::PortBinding>{{"127.0.0.1", "8080"}, {"", "9000-9010"}};
  host.port_bindings["53/udp"] = std::nullopt;
  host.publish_all_ports = true;
  input.record.config.exposed_ports["81/tcp"] = {};
  const std::vector<network::PortRequest> ports = plan().ports;
  ASSERT_EQ(ports.size(), 4U);
  EXPECT_EQ(ports[0].protocol, "udp");
  EXPECT_EQ(ports[0].host_port_first, 0);
  EXPECT_EQ(ports[1].host_ip, "127.0.0.1");
  EXPECT_EQ(ports[1].host_port_first, 8080);
  EXPECT_EQ(ports[2].host_port_last, 9010);
  EXPECT_EQ(ports[3].container_port, 81);
}

TEST_F(LaunchPlanning, LogOptionsAreRead) {
  input.record.host_config.log_config = {"json-file", {{"max-size", "10m"}, {"max-file", "3"}, {"labels", "tier"}}};
  input.record.config.labels = {{"tier", "web"}, {"other", "x"}};
  const runtime::LogOptions log = plan().shim.log;
  EXPECT_EQ(log.max_size_bytes, 10'000'000);  // decimal, as Docker reads it
  EXPECT_EQ(log.max_files, 3);
  EXPECT_EQ(log.attributes, (std::map<std::string, std::string>{{"tier", "web"}}));
}

TEST_F(LaunchPlanning, WhatTheKernelCannotDoIsRefused) {
  input.record.host_config.security_opt = api::StringList{"label=type:x"};
  EXPECT_THROW(plan(), Error);
  input.record.host_config.security_opt = api::StringList{"seccomp={not json"};
  EXPECT_THROW(plan(), Error);
}

TEST_F(LaunchPlanning, AnExecHasTheContainersRightsAndItsOwnEnvironment) {
  input.record.config.env = api::StringList{"A=1", "B=2"};
  input.record.config.working_dir = "/srv";
  api::ExecCreateRequest request;
  request.cmd = api::CommandLine({"id"});
  request.env = {"A=mine"};
  request.tty = true;
  const runtime::Process process = plan_exec_process(input.record, request, options);
  EXPECT_EQ(process.cwd, "/srv");
  EXPECT_THAT(process.env, Contains("A=mine"));
  EXPECT_THAT(process.env, Not(Contains("A=1")));
  EXPECT_THAT(process.env, Contains("TERM=xterm"));
  EXPECT_THAT(process.capabilities->bounding, Not(Contains("CAP_SYS_ADMIN")));
}

}  // namespace
}  // namespace mydocker::engine
