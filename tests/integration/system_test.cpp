// What the engine says of itself: disk use, metrics, traces, and why a container ended.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class SystemTest : public DaemonTest {
 protected:
  json::value df(const std::string& query = "") {
    const Response response = client().get("/system/df" + query);
    EXPECT_EQ(response.status, 200) << response.body;
    return response.json();
  }
  static std::int64_t number(const json::value& value) { return value.to_number<std::int64_t>(); }
};

// --- df --------------------------------------------------------------------------------------------------------------

TEST_F(SystemTest, InfoNamesEveryLogDriver) {
  EXPECT_EQ(write_json(at(client().get("/info").json(), "Plugins.Log")),
            R"(["journald","json-file","local","none","syslog"])");
}

TEST_F(SystemTest, DiskUseIsExact) {
  const json::value empty = df();
  const std::int64_t layers = number(at(empty, "LayersSize"));
  EXPECT_GT(layers, 0);
  EXPECT_EQ(at(empty, "BuildCache"), json::value(json::array{}));
  EXPECT_EQ(number(at(empty, "BuilderSize")), 0);

  ASSERT_EQ(client().post("/volumes/create", json::object{{"Name", "sized"}}).status, 201);
  const std::string id =
      create({.command = {"/bin/busybox", "dd", "if=/dev/zero", "of=/data/file", "bs=1000", "count=300"},
              .name = "filler",
              .host = {{"Binds", json::array{"sized:/data"}}}});
  start(id);
  EXPECT_EQ(wait(id), 0);
  const json::value usage = df();
  EXPECT_EQ(number(at(usage, "LayersSize")), layers);
  const json::value image = at(usage, "Images.0");
  EXPECT_EQ(number(at(image, "Containers")), 1);
  EXPECT_EQ(number(at(image, "SharedSize")), 0);
  EXPECT_EQ(number(at(image, "Size")), layers) << "one image: all layers are its own";
  EXPECT_EQ(text(at(usage, "Containers.0.Id")), id);
  const json::value sized = client().get("/containers/" + id + "/json?size=1").json();
  EXPECT_EQ(number(at(usage, "Containers.0.SizeRootFs")), layers + number(at(sized, "SizeRw")));
  const json::value volume = at(usage, "Volumes.0");
  EXPECT_EQ(text(at(volume, "Name")), "sized");
  EXPECT_EQ(number(at(volume, "UsageData.RefCount")), 1);
  EXPECT_EQ(number(at(volume, "UsageData.Size")), 300000);
  remove(id);
  EXPECT_EQ(client().remove("/volumes/sized").status, 204);
}

TEST_F(SystemTest, LayersThatTwoImagesHaveAreSharedAndCountedOnce) {
  const std::int64_t layers = number(at(df(), "LayersSize"));
  const std::string id = create();
  ASSERT_EQ(client().post("/commit?container=" + id + "&repo=twin", json::object{}).status, 201);
  const json::value usage = df();
  EXPECT_EQ(at(usage, "Images").as_array().size(), 2U);
  const json::value images = at(usage, "Images");
  for (const json::value& image : images.as_array()) {
    EXPECT_EQ(number(at(image, "SharedSize")), layers) << write_json(image);
  }
  EXPECT_LE(number(at(usage, "LayersSize")), layers + 4096) << "counted once";
  const json::value list = client().get("/images/json?shared-size=1").json();
  EXPECT_EQ(number(at(list, "0.SharedSize")), layers);
  client().remove("/images/twin");
}

TEST_F(SystemTest, TheTypeChoosesTheLists) {
  const json::value volumes = df("?type=volume");
  EXPECT_TRUE(at(volumes, "Images").is_null());
  EXPECT_TRUE(at(volumes, "Containers").is_null());
  EXPECT_TRUE(at(volumes, "Volumes").is_array());
  EXPECT_EQ(number(at(volumes, "LayersSize")), 0);
  const json::value two = df("?type=image&type=container");
  EXPECT_TRUE(at(two, "Images").is_array());
  EXPECT_TRUE(at(two, "Containers").is_array());
  EXPECT_TRUE(at(two, "Volumes").is_null());
  EXPECT_EQ(client().get("/system/df?type=nonsense").status, 400);
  EXPECT_TRUE(at(client().get("/v1.41/system/df?type=volume").json(), "Images").is_array()) << "ignored below 1.42";
}

TEST_F(SystemTest, BothClientsShowDiskUse) {
  const CommandResult ours = mydocker({"system", "df"});
  EXPECT_EQ(ours.code, 0) << ours.err;
  EXPECT_NE(ours.out.find("Local Volumes"), std::string::npos) << ours.out;
  const CommandResult detailed = mydocker({"system", "df", "-v"});
  EXPECT_EQ(detailed.code, 0) << detailed.err;
  EXPECT_TRUE(std::regex_search(detailed.out, std::regex("payload +latest"))) << detailed.out;
  EXPECT_NE(detailed.out.find("UNIQUE SIZE"), std::string::npos) << detailed.out;
  REQUIRE_PROGRAM("docker");
  const CommandResult theirs = docker({"system", "df"});
  EXPECT_EQ(theirs.code, 0) << theirs.err;
  EXPECT_EQ(theirs.out, ours.out);
}

TEST_F(SystemTest, PruneRemovesWhatIsUnused) {
  const std::string id = create({.name = "unused"});
  const CommandResult result = mydocker({"system", "prune", "--force"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("Deleted Containers:\n" + id), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("Total reclaimed space:"), std::string::npos) << result.out;
  EXPECT_EQ(client().get("/containers/unused/json").status, 404);
  EXPECT_EQ(client().get("/images/payload/json").status, 200) << "tagged images stay without --all";
}

// --- metrics and traces ----------------------------------------------------------------------------------------------

TEST_F(SystemTest, MetricsAreWellFormedAndCount) {
  engine().restart();  // the counters begin anew
  const std::string id = run();
  client().get("/containers/nope/json");
  const Response response = client().get("/metrics");
  EXPECT_EQ(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const std::regex sample(R"re([a-z_]+(\{([a-z_]+="[^"\n]*",?)*\})? [-+.0-9e]+)re");
  std::set<std::string> typed;
  std::istringstream lines(response.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(typed.insert(line.substr(7, line.find(' ', 7) - 7)).second) << "typed twice: " << line;
    } else if (!line.starts_with("# HELP ")) {
      EXPECT_TRUE(std::regex_match(line, sample)) << line;
    }
  }
  const auto has = [&](const std::string& text) { return response.body.find(text) != std::string::npos; };
  EXPECT_TRUE(has("engine_daemon_container_states_containers{state=\"running\"} 1\n"));
  EXPECT_TRUE(has("engine_daemon_events_total "));
  EXPECT_TRUE(has("engine_daemon_engine_info{version="));
  EXPECT_TRUE(has("mydocker_phase_seconds_count{operation=\"start\",phase=\"total\"} 1\n"));
  EXPECT_TRUE(has("mydocker_http_requests_total{method=\"POST\",route=\"/containers/{id}/start\",code=\"204\"} 1\n"));
  EXPECT_TRUE(has("mydocker_http_requests_total{method=\"GET\",route=\"/containers/{id}/json\",code=\"404\"} 1\n"));
  EXPECT_TRUE(
      has("mydocker_http_request_seconds_bucket{method=\"POST\",route=\"/containers/{id}/start\",le=\"+Inf\"} 1\n"));
  EXPECT_TRUE(has("process_resident_memory_bytes "));
}

class MetricsAddressTest : public SystemTest {
 protected:
  static constexpr const char* address = "127.0.0.1:19323";
  /// Somebody else on that port.
  static UniqueFd open_tcp_listener() {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in other{};
    other.sin_family = AF_INET;
    other.sin_port = htons(19323);
    other.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&other), sizeof other) != 0 ||
        ::listen(socket.get(), 1) != 0) {
      throw sys_error("listen");
    }
    return socket;
  }
  CommandResult curl(std::vector<std::string> more) {
    more.insert(more.begin(), {"curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"});
    return run_command(more);
  }
  /// The status of an answer on the port of the metrics.
  std::string status(const std::string& method, const std::string& path) {
    return curl({"--output", "/dev/null", "--write-out", "%{http_code}", "--request", method,
                 concat("http://", address, path)})
        .out;
  }
};

TEST_F(MetricsAddressTest, ThePortServesTheMetricsAndNothingElse) {
  REQUIRE_PROGRAM("curl");
  for (const bool by_file : {false, true}) {
    if (by_file) {
      const std::string file = scratch("daemon.json");
      std::ofstream(file) << json::object{{"metrics-addr", address}};
      engine().set_flags({"--config-file", file});
    } else {
      engine().set_flags({"--metrics-addr", address});
    }
    engine().restart();
    take_snapshot();
    const CommandResult metrics = curl({"--include", concat("http://", address, "/metrics")});
    EXPECT_EQ(metrics.code, 0) << metrics.err;
    EXPECT_NE(metrics.out.find("200 OK"), std::string::npos) << metrics.out;
    EXPECT_NE(metrics.out.find("text/plain; version=0.0.4"), std::string::npos) << metrics.out;
    EXPECT_NE(metrics.out.find("\nengine_daemon_container_states_containers{state=\"running\"} 0\n"),
              std::string::npos);
    for (const char* path : {"/_ping", "/info", "/containers/json", "/v1.41/containers/json", "/", "/metrics/x"}) {
      EXPECT_EQ(status("GET", path), "404") << path;
    }
    EXPECT_EQ(status("POST", "/containers/create"), "404");
    EXPECT_EQ(status("POST", "/metrics"), "404");
    EXPECT_EQ(client().get("/_ping").status, 200);
  }
}

TEST_F(MetricsAddressTest, ATakenPortEndsTheEngineWithItsReason) {
  const UniqueFd taken = open_tcp_listener();
  engine().kill();
  engine().set_flags({"--metrics-addr", address});
  try {
    engine().start();
    ADD_FAILURE() << "the engine runs";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(concat("listen tcp://", address, ": ")), std::string::npos) << error.message();
  }
  engine().set_flags({});
  engine().start();
}

TEST_F(SystemTest, TheTraceSaysWhereTheTimeOfAStartWent) {
  const std::string id = run();
  const CommandResult result = mydocker({"system", "trace"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("start " + id.substr(0, 12)), std::string::npos) << result.out;
  EXPECT_TRUE(std::regex_search(result.out, std::regex("prepare +[0-9.]+ ms +[0-9]+ %"))) << result.out;
  EXPECT_TRUE(std::regex_search(result.out, std::regex("total +[0-9.]+ ms"))) << result.out;
  const CommandResult last = mydocker({"system", "trace", "--operation", "all", "--last", "1", "--format", "json"});
  EXPECT_EQ(text(at(parse_json(last.out), "Subject")), id) << last.out;
}

// --- explain ---------------------------------------------------------------------------------------------------------

class ExplainTest : public SystemTest {
 protected:
  std::string explain(const std::string& name) {
    const CommandResult result = mydocker({"explain", name});
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
};

TEST_F(ExplainTest, AnExitCodeAndTheLastLines) {
  const std::string id = create({.command = {"/payload", "exit", "3"}, .name = "failed"});
  EXPECT_NE(explain("failed").find("created and never started"), std::string::npos);
  start(id);
  wait(id);
  EXPECT_NE(explain("failed").find("It ended by itself with code 3"), std::string::npos) << explain("failed");
  const std::string talker = create({.command = {"/bin/busybox", "echo", "last words"}, .name = "talker"});
  start(talker);
  wait(talker);
  const std::string why = explain("talker");
  EXPECT_NE(why.find("with success"), std::string::npos) << why;
  EXPECT_NE(why.find("  | last words"), std::string::npos) << why;
  const CommandResult unknown = mydocker({"explain", "nobody"});
  EXPECT_EQ(unknown.code, 1);
}

TEST_F(ExplainTest, AMissingProgramAndAMissingInterpreter) {
  create({.command = {"/nothing/there"}, .name = "absent"});
  EXPECT_NE(client().post("/containers/absent/start").status, 204);
  EXPECT_NE(explain("absent").find("there is no program /nothing/there in the image"), std::string::npos)
      << explain("absent");
  load({.name = "script:latest", .layers = {TarBuilder().file("run.sh", "#!/bin/missing\n", 0755).finish()}});
  create({.image = "script", .command = {"/run.sh"}, .name = "script"});
  EXPECT_NE(client().post("/containers/script/start").status, 204);
  const std::string why = explain("script");
  EXPECT_NE(why.find("/run.sh is there, but the interpreter it needs is not"), std::string::npos) << why;
  EXPECT_NE(why.find("/bin/missing"), std::string::npos) << why;
  remove(text(at(inspect("script"), "Id")));
  client().remove("/images/script");
}

TEST_F(ExplainTest, AnElfProgramsMissingInterpreterIsNamed) {
  // The head of a 64-bit program with one program header: PT_INTERP, whose text follows.
  std::string elf(0x78, '\0');
  const auto put = [&](std::size_t at, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) elf[at + i] = static_cast<char>(value >> (8 * i));
  };
  const std::string interpreter("/lib/ld-absent.so.1\0", 20);
  elf.replace(0, 7,
              std::string("\x7f"
                          "ELF\x02\x01\x01",
                          7));
  put(0x10, 3, 2);     // ET_DYN
  put(0x12, 62, 2);    // x86-64
  put(0x14, 1, 4);     // version
  put(0x20, 0x40, 8);  // program headers
  put(0x34, 64, 2);    // size of this head
  put(0x36, 56, 2);    // size of a program header
  put(0x38, 1, 2);     // one
  put(0x40, 3, 4);     // PT_INTERP
  put(0x48, elf.size(), 8);
  put(0x60, interpreter.size(), 8);
  put(0x68, interpreter.size(), 8);
  elf += interpreter;
  load({.name = "foreign:latest", .layers = {TarBuilder().file("app", elf, 0755).finish()}});
  create({.image = "foreign", .command = {"/app"}, .name = "foreign"});
  EXPECT_NE(client().post("/containers/foreign/start").status, 204);
  const std::string why = explain("foreign");
  EXPECT_NE(why.find("/app is there, but the interpreter it needs is not"), std::string::npos) << why;
  EXPECT_NE(why.find("/lib/ld-absent.so.1"), std::string::npos) << why;
  remove(text(at(inspect("foreign"), "Id")));
  client().remove("/images/foreign");
}

TEST_F(ExplainTest, ADeniedCallAndADroppedCapabilityAreNamed) {
  const auto fails = [&](const std::string& name, const std::string& script, json::object host = {}) {
    const std::string id = run({.command = {"sh", "-c", script}, .name = name, .host = std::move(host)});
    EXPECT_NE(wait(id), 0);
    return explain(name);
  };
  const std::string mounted = fails("mounter", "/bin/busybox mount -t tmpfs none /tmp");
  EXPECT_NE(mounted.find("system call mount, which needs CAP_SYS_ADMIN"), std::string::npos) << mounted;
  EXPECT_NE(mounted.find("--cap-add SYS_ADMIN"), std::string::npos) << mounted;
  const std::string owned = fails("owner", "touch /f; /bin/busybox chown 7 /f", {{"CapDrop", json::array{"CHOWN"}}});
  EXPECT_NE(owned.find("CAP_CHOWN; the container does not have it"), std::string::npos) << owned;
  const std::string killed = fails(
      "killed", "/bin/busybox hostname other",
      {{"SecurityOpt",
        json::array{
            R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_KILL_PROCESS"}]})"}},
       {"CapAdd", json::array{"SYS_ADMIN"}}});
  EXPECT_NE(killed.find("159"), std::string::npos) << killed;
  const std::string own = fails(
      "own", "exec /bin/busybox hostname other",
      {{"SecurityOpt",
        json::array{
            R"(seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_KILL_PROCESS"}]})"}},
       {"CapAdd", json::array{"SYS_ADMIN"}}});
  EXPECT_NE(own.find("a system call that its seccomp profile forbids"), std::string::npos) << own;
}

TEST_F(ExplainTest, AnUnhealthyOneShowsItsProbeAndALoopItsRestarts) {
  const std::string sick =
      run({.name = "sick",
           .extra = {{"Healthcheck", json::object{{"Test", json::array{"CMD-SHELL", "echo no answer on 8080; exit 1"}},
                                                  {"Interval", 20'000'000},
                                                  {"Retries", 1}}}}});
  EXPECT_TRUE(eventually([&] { return text(at(inspect(sick), "State.Health.Status")) == "unhealthy"; }));
  const std::string why = explain("sick");
  EXPECT_NE(why.find("It runs, but its health check fails"), std::string::npos) << why;
  EXPECT_NE(why.find("The last probe said: no answer on 8080"), std::string::npos) << why;

  const std::string loop = run({.command = {"sh", "-c", "echo cannot go on; exit 7"},
                                .name = "loop",
                                .host = {{"RestartPolicy", json::object{{"Name", "always"}}}}});
  std::string told;
  EXPECT_TRUE(eventually([&] {
    told = explain("loop");
    return told.find("The next restart waits for its back-off") != std::string::npos &&
           told.find(" times by its policy always") != std::string::npos;
  })) << told;
  EXPECT_NE(told.find("It ended by itself with code 7"), std::string::npos) << told;
  EXPECT_NE(told.find("  | cannot go on"), std::string::npos) << told;
}

TEST_F(ExplainTest, TheLastLinesOfEveryReadableDriverAreShown) {
  const json::object syslog{{"syslog-address", "udp://127.0.0.1:9"}};
  const std::pair<const char*, json::object> drivers[] = {{"json-file", {}}, {"local", {}}, {"syslog", syslog}};
  for (const auto& [driver, options] : drivers) {
    const std::string id = run({.command = {"sh", "-c", "seq 1 30; echo last words >&2; exit 2"},
                                .name = driver,
                                .host = {{"LogConfig", json::object{{"Type", driver}, {"Config", options}}}}});
    wait(id);
    const std::string why = explain(driver);
    EXPECT_NE(why.find("  | 30\n  | last words\n"), std::string::npos) << why;
    EXPECT_EQ(why.find("  | 20\n"), std::string::npos) << why;
  }
  const std::string silent =
      run({.command = {"echo", "x"}, .name = "silent", .host = {{"LogConfig", json::object{{"Type", "none"}}}}});
  wait(silent);
  EXPECT_EQ(explain("silent").find("last lines"), std::string::npos) << explain("silent");
}

TEST_F(ExplainTest, AForeignHolderOfAPortIsNamed) {
  UniqueFd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(holder.get(), 1), 0);
  ASSERT_EQ(::getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  create({.name = "refused",
          .host = {{"NetworkMode", "bridge"},
                   {"PortBindings", json::object{{"80/tcp", json::array{json::object{{"HostPort", port}}}}}}}});
  EXPECT_NE(client().post("/containers/refused/start").status, 204);
  const std::string why = explain("refused");
  EXPECT_NE(why.find(port + " is taken"), std::string::npos) << why;
  EXPECT_NE(why.find(concat("(pid ", ::getpid(), ")")), std::string::npos) << why;
}

TEST_F(ExplainTest, ThePortsHolderIsNamed) {
  const json::object published{
      {"NetworkMode", "bridge"},
      {"PortBindings", json::object{{"80/tcp", json::array{json::object{{"HostPort", "18099"}}}}}}};
  run({.name = "first", .host = published});
  create({.name = "second", .host = published});
  EXPECT_NE(client().post("/containers/second/start").status, 204);
  const std::string why = explain("second");
  EXPECT_NE(why.find("port 0.0.0.0:18099 is taken"), std::string::npos) << why;
  EXPECT_NE(why.find("container first"), std::string::npos) << why;
}

TEST_F(ExplainTest, AnOutOfMemoryKillNamesTheLimit) {
  const std::string id = create({.command = {"/payload", "memhog", "200"},
                                 .name = "hungry",
                                 .host = {{"Memory", 33554432}, {"MemorySwap", 33554432}}});
  start(id);
  EXPECT_EQ(wait(id), 137);
  const std::string why = explain("hungry");
  EXPECT_NE(why.find("needed more memory than it may have"), std::string::npos) << why;
  EXPECT_NE(why.find("32 MiB"), std::string::npos) << why;
}

TEST_F(ExplainTest, AKillAndAStopAreNotTheSame) {
  const std::string id = run({.name = "ended"});
  wait_ready(id);
  EXPECT_EQ(client().post("/containers/ended/stop?t=0").status, 204);
  EXPECT_NE(explain("ended").find("It was stopped"), std::string::npos) << explain("ended");
  start(id);
  ASSERT_EQ(::kill(pid_of(id), SIGKILL), 0);
  wait(id);
  EXPECT_NE(explain("ended").find("Somebody sent it SIGKILL"), std::string::npos) << explain("ended");
}

}  // namespace
}  // namespace mydocker::test
