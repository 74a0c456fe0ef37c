// A textbook's tour of what a container is, step by step, from the host's side as well.

#include <fcntl.h>

#include <algorithm>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class TourTest : public DaemonTest {};

TEST_F(TourTest, NsenterIntoStatePidSeesTheContainer) {
  const std::string id = run({.extra = {{"Hostname", "inside"}}, .host = {{"NetworkMode", "bridge"}}});
  const std::string pid = std::to_string(pid_of(id));
  EXPECT_EQ(run_command({"nsenter", "-t", pid, "-u", "hostname"}).out, "inside\n");
  const CommandResult net = run_command({"nsenter", "-t", pid, "-n", payload_program(), "links"});
  EXPECT_NE(net.out.find("eth0 172.17."), std::string::npos) << net.out << net.err;
  const CommandResult all = run_command({"nsenter", "-t", pid, "-m", "-r", "-u", "-i", "-n", "-p", "/payload", "pids"});
  EXPECT_NE(all.out.find("\n1 0 "), std::string::npos) << all.out << all.err;
}

TEST_F(TourTest, TheKernelIsTheHosts) {
  EXPECT_EQ(run_to_end({.command = {"uname", "-r"}}).out, run_command({"uname", "-r"}).out);
}

TEST_F(TourTest, CopyUpIsVisibleInDiffAndNotInTheImage) {
  const std::string first = run({.command = {"sh", "-c", "echo changed > /etc/shadowed; echo ready; /payload pause"}});
  wait_ready(first);
  const std::string changes = client().get("/containers/" + first + "/changes").body;
  EXPECT_NE(changes.find("/etc/shadowed"), std::string::npos) << changes;
  EXPECT_EQ(run_to_end({.command = {"cat", "/etc/shadowed"}}).out, "from the image\n");
}

TEST_F(TourTest, AnExportedRootfsRunsUnderTheRuntimeAlone) {
  const std::string id = create();
  HttpStream stream = client().open("GET", "/containers/" + id + "/export");
  const std::string bundle = scratch("bundle");
  const std::string state = scratch("runtime-state");
  make_dirs(bundle + "/rootfs");
  const std::string tar = scratch("rootfs.tar");
  write_all(open_file(tar, O_WRONLY | O_CREAT, 0600).get(), stream.read_to_end());
  ASSERT_EQ(run_command({"tar", "-xf", tar, "-C", bundle + "/rootfs"}).code, 0);

  const std::string runtime = program("mydocker-runtime");
  const CommandResult spec = run_command({runtime, "spec", "--bundle", bundle});
  ASSERT_EQ(spec.code, 0) << spec.err;
  std::string config = read_file(bundle + "/config.json");
  json::value document = parse_json(config);
  document.at("process").as_object()["args"] = json::array{"/payload", "pids"};
  document.at("process").as_object()["terminal"] = false;
  document.at("linux").as_object()["cgroupsPath"] = surroundings().cgroup_parent() + "/tour";
  write_all(open_file(bundle + "/config.json", O_WRONLY | O_TRUNC).get(), write_json(document));

  const CommandResult ran = run_command({runtime, "--root", state, "run", "--bundle", bundle, "tour-one"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(ran.out.starts_with("self 1 parent 0 ")) << ran.out;

  // create, state, start, kill, delete: the steps one by one.
  document.at("process").as_object()["args"] = json::array{"/payload", "pause"};
  write_all(open_file(bundle + "/config.json", O_WRONLY | O_TRUNC).get(), write_json(document));
  const std::string out = scratch("runtime.out");
  // Its streams become the container's, which outlives the command: a pipe of ours would not end with it.
  const std::string create_two =
      concat("exec ", runtime, " --root ", state, " create --bundle ", bundle, " tour-two >", out, " 2>&1");
  EXPECT_EQ(run_command({"sh", "-c", create_two}).code, 0) << read_file(out);
  const CommandResult created = run_command({runtime, "--root", state, "state", "tour-two"});
  EXPECT_NE(created.out.find("\"created\""), std::string::npos) << created.out << created.err;
  EXPECT_EQ(run_command({runtime, "--root", state, "start", "tour-two"}).code, 0);
  EXPECT_NE(run_command({runtime, "--root", state, "list"}).out.find("running"), std::string::npos);
  EXPECT_EQ(run_command({runtime, "--root", state, "kill", "tour-two", "KILL"}).code, 0);
  EXPECT_TRUE(eventually([&] {
    return run_command({runtime, "--root", state, "state", "tour-two"}).out.find("\"stopped\"") != std::string::npos;
  }));
  EXPECT_EQ(run_command({runtime, "--root", state, "delete", "tour-two"}).code, 0);
  EXPECT_NE(run_command({runtime, "--root", state, "state", "tour-two"}).code, 0);
}

}  // namespace
}  // namespace mydocker::test
