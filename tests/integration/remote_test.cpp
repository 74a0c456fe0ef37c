// Clients that are not local: TCP with mutual TLS; and every other way to be listened to.

#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

constexpr const char* address = "127.0.0.1:12376";

/// An authority, an engine certificate for 127.0.0.1 and a client certificate, made by the openssl program.
class RemoteTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("openssl");
    REQUIRE_PROGRAM("curl");
    DaemonTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    make_authority("ca");
    make_certificate("ca", "server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    make_certificate("ca", "client", "extendedKeyUsage=clientAuth\n");
  }

  std::string pem(const std::string& name) { return scratch(name + ".pem"); }
  void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const CommandResult result = run_command(std::move(arguments));
    ASSERT_EQ(result.code, 0) << result.err;
  }
  void make_authority(const std::string& name) {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=" + name, "-keyout", pem(name + "-key"), "-out", pem(name)});
  }
  void make_certificate(const std::string& authority, const std::string& name, const std::string& extensions) {
    std::ofstream(scratch(name + ".ext")) << extensions;
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name, "-keyout",
             pem(name + "-key"), "-out", scratch(name + ".csr")});
    openssl({"x509", "-req", "-in", scratch(name + ".csr"), "-CA", pem(authority), "-CAkey", pem(authority + "-key"),
             "-CAcreateserial", "-days", "2", "-extfile", scratch(name + ".ext"), "-out", pem(name)});
  }

  std::vector<std::string> tls_flags() {
    return {"-H",       concat("tcp://", address), "--tlsverify", "--tlscacert", pem("ca"), "--tlscert", pem("server"),
            "--tlskey", pem("server-key")};
  }
  void serve_tls() {
    engine().set_flags(tls_flags());
    engine().restart();
    take_snapshot();
  }
  CommandResult curl(const std::string& path, const std::string& who, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"curl", "--silent", "--show-error", "--max-time", "20", "--cacert", pem("ca")};
    if (!who.empty()) words.insert(words.end(), {"--cert", pem(who), "--key", pem(who + "-key")});
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(concat("https://", address, path));
    return run_command(words, {.environment = {"no_proxy=*"}});
  }
  CommandResult docker_tls(std::vector<std::string> arguments, const std::string& input = {}) {
    std::vector<std::string> words = {
        "docker",      "-H",       concat("tcp://", address), "--tlsverify", "--tlscacert", pem("ca"), "--tlscert",
        pem("client"), "--tlskey", pem("client-key")};
    words.insert(words.end(), arguments.begin(), arguments.end());
    CommandOptions options;
    options.input = input;
    options.environment = {"DOCKER_CONFIG=" + scratch("docker"), "no_proxy=*"};
    return run_command(words, options);
  }
};

TEST_F(RemoteTest, AClientWithACertificateIsServed) {
  serve_tls();
  const CommandResult ping = curl("/_ping", "client");
  EXPECT_EQ(ping.code, 0) << ping.err;
  EXPECT_EQ(ping.out, "OK");
  EXPECT_EQ(client().get("/_ping").status, 200) << "the Unix socket is served beside it";
}

TEST_F(RemoteTest, WithoutACertificateOfOursNobodyGetsIn) {
  serve_tls();
  make_authority("stranger-ca");
  make_certificate("stranger-ca", "stranger", "extendedKeyUsage=clientAuth\n");
  make_certificate("ca", "notclient", "extendedKeyUsage=serverAuth\n");
  for (const std::string who : {"", "stranger", "notclient"}) {
    const CommandResult refused = curl("/_ping", who);
    EXPECT_NE(refused.code, 0) << who;
    EXPECT_EQ(refused.out.find("OK"), std::string::npos) << who;
  }
  const CommandResult plain = run_command({"curl", "--silent", "--max-time", "5", concat("http://", address, "/_ping")},
                                          {.environment = {"no_proxy=*"}});
  EXPECT_NE(plain.code, 0);
  const CommandResult old = curl("/_ping", "client", {"--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"});
  EXPECT_NE(old.code, 0) << "TLS 1.1";
  EXPECT_EQ(curl("/_ping", "client").out, "OK") << "who was refused left nothing behind";
}

TEST_F(RemoteTest, TheOfficialClientRunsAttachesAndExecutes) {
  REQUIRE_PROGRAM("docker");
  serve_tls();
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  const CommandResult run = docker_tls({"run", "--rm", "-i", "--network", "none", "payload", "/payload", "cat"}, text);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, text) << "its half-close ends the input, and all output comes before the end";
  const std::string id = DaemonTest::run();
  wait_ready(id);
  const CommandResult exec = docker_tls({"exec", "-i", id, "/payload", "cat"}, "through\n");
  EXPECT_EQ(exec.out, "through\n") << exec.err;
  EXPECT_EQ(docker_tls({"exec", id, "/payload", "exit", "7"}).code, 7);
  EXPECT_EQ(docker_tls({"run", "--rm", "--network", "none", "payload", "/payload", "exit", "5"}).code, 5);
}

TEST_F(RemoteTest, OurOwnClientSpeaksMutualTls) {
  serve_tls();
  const auto ours = [&](const std::string& who, std::vector<std::string> words, const std::string& input = {},
                        const std::string& authority = "ca") {
    std::vector<std::string> all = {program("mydocker"), "-H",          concat("tcp://", address),
                                    "--tlsverify",       "--tlscacert", pem(authority)};
    if (!who.empty()) all.insert(all.end(), {"--tlscert", pem(who), "--tlskey", pem(who + "-key")});
    all.insert(all.end(), words.begin(), words.end());
    CommandOptions options;
    if (!input.empty()) options.standard_input_file = scratch("input");  // more than a pipe holds
    if (!input.empty()) std::ofstream(scratch("input")) << input;
    options.environment = {"DOCKER_CONFIG=" + scratch("docker")};
    return run_command(all, options);
  };
  const std::vector<std::string> echo = {"run", "--rm", "-i", "--network", "none", "payload", "/payload", "cat"};
  const std::string large(300'000, 'x');
  const CommandResult piped = ours("client", echo, large);  // the half-close ends cat
  EXPECT_EQ(piped.code, 0) << piped.err;
  EXPECT_TRUE(piped.out == large) << piped.out.size();
  EXPECT_EQ(ours("client", {"run", "--rm", "--network", "none", "payload", "/payload", "exit", "5"}).code, 5);
  const std::string id = run({.name = "remote"});
  EXPECT_EQ(ours("client", {"exec", "remote", "echo", "here"}).out, "here\n");
  EXPECT_EQ(ours("client", {"ps", "--no-trunc", "-q"}).out, id + "\n");

  const CommandResult nobody = ours("", {"ps"});
  EXPECT_NE(nobody.code, 0);
  make_authority("other-ca");
  const CommandResult distrusted = ours("client", {"ps"}, "", "other-ca");
  EXPECT_NE(distrusted.code, 0);
  EXPECT_NE(distrusted.err.find("failed to verify the certificate"), std::string::npos) << distrusted.err;
  const CommandResult missing =
      run_command({program("mydocker"), "-H", concat("tcp://", address), "--tlsverify", "ps"},
                  {.environment = {"DOCKER_CERT_PATH=" + scratch("nothing"), "DOCKER_CONFIG=" + scratch("docker")}});
  EXPECT_NE(missing.err.find("/ca.pem: no such file or directory"), std::string::npos) << missing.err;

  // The usual variables, and files under their usual names.
  const std::string directory = scratch("certificates");
  ASSERT_EQ(
      run_command({"sh", "-c",
                   concat("mkdir ", directory, " && cp ", pem("ca"), " ", directory, "/ca.pem && cp ", pem("client"),
                          " ", directory, "/cert.pem && cp ", pem("client-key"), " ", directory, "/key.pem")})
          .code,
      0);
  const CommandResult environment =
      run_command({program("mydocker"), "ps", "-q"},
                  {.environment = {concat("DOCKER_HOST=tcp://", address), "DOCKER_TLS_VERIFY=1",
                                   "DOCKER_CERT_PATH=" + directory, "DOCKER_CONFIG=" + scratch("docker")}});
  EXPECT_EQ(environment.out, id.substr(0, 12) + "\n") << environment.err;
}

TEST_F(RemoteTest, AnAttachedClientThatVanishesIsForgotten) {
  serve_tls();
  const std::string id = run({.extra = {{"OpenStdin", true}, {"StdinOnce", true}}});
  wait_ready(id);
  RunningCommand stream({"curl", "--silent", "--no-buffer", "--cacert", pem("ca"), "--cert", pem("client"), "--key",
                         pem("client-key"), concat("https://", address, "/events")},
                        {.environment = {"no_proxy=*"}});
  const auto listeners = [&] { return at(client().get("/info").json(), "NEventsListener").to_number<int>(); };
  EXPECT_TRUE(eventually([&] { return listeners() == 1; }));
  stream.kill(SIGKILL);
  EXPECT_TRUE(eventually([&] { return listeners() == 0; }));
}

TEST_F(RemoteTest, PlainTcpIsRefusedAtTheStart) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"-H", "tcp://127.0.0.1:2375"}, {"-H", "tcp://127.0.0.1:2375", "--tls"}}) {
    std::vector<std::string> words = {program("mydockerd"), "--validate", "--config-file", scratch("none.json")};
    std::ofstream(scratch("none.json")) << "{}";
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words);
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("TCP is served with mutual TLS only"), std::string::npos) << result.err;
  }
}

TEST_F(RemoteTest, ABadCertificateIsNamedAtTheStart) {
  std::vector<std::string> flags = tls_flags();
  flags.back() = pem("client-key");
  engine().kill();
  engine().set_flags(flags);
  try {
    engine().start();
    ADD_FAILURE() << "it serves with a key that does not belong to its certificate";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find(pem("client-key")), std::string::npos) << error.message();
  }
  engine().set_flags({});
  engine().start();
}

TEST_F(RemoteTest, SeveralSocketsAreServedAtOnceAndBelongToTheirGroup) {
  const group* entry = ::getgrnam("daemon");
  ASSERT_NE(entry, nullptr);
  const gid_t gid = entry->gr_gid;
  const std::string second = scratch("second.sock");
  std::vector<std::string> flags = tls_flags();
  flags.insert(flags.end(), {"-H", "unix://" + second, "--group", "daemon"});
  engine().set_flags(flags);
  engine().restart();
  take_snapshot();
  EXPECT_EQ(HttpClient(second).get("/_ping").status, 200);
  EXPECT_EQ(client().get("/_ping").status, 200);
  EXPECT_EQ(curl("/_ping", "client").out, "OK");
  for (const std::string& path : {second, engine().socket()}) {
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_gid, gid) << path;
    EXPECT_EQ(info.st_mode & 0777, 0660U) << path;
  }
}

TEST_F(RemoteTest, SocketsOfAServiceManagerAreTaken) {
  const std::string path = scratch("activated.sock");
  const UniqueFd listening = listen_unix(path, SOCK_STREAM, 0600);
  engine().kill();
  SpawnOptions spawn;
  spawn.program = "/bin/sh";
  // What systemd sets before it executes the service (man 3 sd_listen_fds).
  spawn.arguments = {"sh",
                     "-c",
                     "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
                     "sh",
                     program("mydockerd"),
                     "-H",
                     "fd://",
                     "--config-file",
                     scratch("none.json"),
                     "--data-root",
                     engine().data_root(),
                     "--exec-root",
                     engine().exec_root(),
                     "--pidfile",
                     scratch("activated.pid"),
                     "--cgroup-parent",
                     surroundings().cgroup_parent()};
  std::ofstream(scratch("none.json")) << "{}";
  spawn.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", concat("MYDOCKER_TEST=", surroundings().cgroup_parent())};
  spawn.fds = {{listening.get(), 3}};
  {
    Process activated = Process::spawn(spawn);
    const HttpClient there(path);
    EXPECT_EQ(there.get("/_ping").status, 200) << "the socket was open before the engine, so the client waits";
    activated.kill(SIGTERM);
    EXPECT_TRUE(activated.wait().success());
  }
  EXPECT_TRUE(path_exists(path)) << "the socket belongs to the service manager";
  engine().start();
}

// --- SIGHUP ----------------------------------------------------------------------------------------------------------

class ReloadTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    write(R"({"labels":["stage=one"]})");
    engine().restart();
  }
  std::string config() { return root() + "/daemon.json"; }
  void write(const std::string& text) { std::ofstream(config(), std::ios::trunc) << text; }
  json::value info() { return client().get("/info").json(); }
  void hangup() { ASSERT_EQ(::kill(engine().pid(), SIGHUP), 0); }
};

TEST_F(ReloadTest, WhatCanChangeChangesAndTheEventSaysWhatHolds) {
  const std::string id = run();
  EXPECT_EQ(text(at(info(), "Labels.0")), "stage=one");
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"type":["daemon"]})"));
  write(R"({"labels":["stage=two"], "debug":true, "max-concurrent-downloads":7, "max-concurrent-uploads":9,
            "registry-mirrors":["http://127.0.0.1:5999"], "insecure-registries":["example.test:5000"],
            "features":{"shiny":true}, "shutdown-timeout":20, "live-restore":true, "default-shm-size":"32m",
            "max-download-attempts":4,
            "runtimes":{"other":{"path":"/bin/true"}}, "default-runtime":"other"})");
  hangup();
  const json::value event = parse_json(events.read_line().value_or("{}"));
  EXPECT_EQ(text(at(event, "Action")), "reload");
  EXPECT_EQ(text(at(event, "Actor.ID")), text(at(info(), "ID")));
  const auto attribute = [&](const char* name) { return text(at(event, "Actor.Attributes").as_object().at(name)); };
  EXPECT_EQ(attribute("name"), text(at(info(), "Name")));
  EXPECT_EQ(attribute("labels"), R"(["stage=two"])");
  EXPECT_EQ(attribute("debug"), "true");
  EXPECT_EQ(attribute("max-concurrent-downloads"), "7");
  EXPECT_EQ(attribute("max-concurrent-uploads"), "9");
  EXPECT_EQ(attribute("features"), R"({"shiny":true})");
  EXPECT_EQ(attribute("shutdown-timeout"), "20");
  EXPECT_EQ(attribute("registry-mirrors"), R"(["http://127.0.0.1:5999"])");
  EXPECT_EQ(attribute("max-download-attempts"), "4");
  EXPECT_EQ(attribute("default-runtime"), "other");
  const json::value now = info();
  EXPECT_EQ(text(at(now, "Labels.0")), "stage=two");
  EXPECT_EQ(at(now, "Debug"), json::value(true));
  EXPECT_EQ(text(at(now, "RegistryConfig.Mirrors.0")), "http://127.0.0.1:5999");
  EXPECT_EQ(at(now, "RegistryConfig.IndexConfigs").as_object().at("example.test:5000").at("Secure"),
            json::value(false));
  EXPECT_TRUE(at(now, "Runtimes").as_object().contains("other"));
  EXPECT_EQ(text(at(now, "DefaultRuntime")), "other");
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
  const json::value fresh = inspect(create());
  EXPECT_EQ(at(fresh, "HostConfig.ShmSize").to_number<std::int64_t>(), 32 << 20);
  EXPECT_EQ(text(at(fresh, "HostConfig.Runtime")), "other");
}

TEST_F(ReloadTest, EveryOtherKeyIsNamedAsOneThatNeedsARestart) {
  const std::pair<const char*, const char*> keys[] = {
      {"bip", "\"172.29.0.1/16\""},
      {"default-ulimits", R"({"nofile":{"Name":"nofile","Hard":2048,"Soft":1024}})"},
      {"dns", R"(["192.0.2.53"])"},
      {"icc", "false"},
      {"init", "true"},
      {"ip", "\"127.0.0.1\""},
      {"log-driver", "\"local\""},
      {"log-opts", R"({"max-size":"1m"})"},
      {"metrics-addr", "\"127.0.0.1:19324\""},
      {"mtu", "1400"},
      {"no-new-privileges", "true"},
      {"seccomp-profile", "\"unconfined\""}};
  for (const auto& [key, value] : keys) {
    write(concat(R"({"labels":["stage=)", key, R"("], ")", key, "\":", value, "}"));
    hangup();
    ASSERT_TRUE(eventually([&] { return text(at(info(), "Labels.0")) == concat("stage=", key); })) << key;
    const std::string log = engine().log();
    const std::size_t told = log.rfind("a changed setting takes effect at the next start");
    ASSERT_NE(told, std::string::npos) << key;
    EXPECT_NE(log.find(key, told), std::string::npos) << key << log.substr(told);
  }
}

TEST_F(ReloadTest, ABadFileChangesNothingAndIsNamedInTheLog) {
  const std::pair<const char*, const char*> cases[] = {
      {"{nonsense", "invalid JSON"},
      {R"({"bogus-key":1})", "bogus-key"},
      {R"({"labels":["x=y"],"max-concurrent-downloads":0})", "not a number"}};
  for (const auto& [bad, reason] : cases) {
    write(bad);
    hangup();
    ASSERT_TRUE(eventually([&] {
      const std::string log = engine().log();
      const std::size_t told = log.rfind("the configuration was not reloaded and stays as it was");
      return told != std::string::npos && log.find(reason, told) != std::string::npos;
    })) << bad;
    EXPECT_EQ(text(at(info(), "Labels.0")), "stage=one") << bad;
  }
  write(R"({"labels":["stage=three"]})");
  hangup();
  EXPECT_TRUE(eventually([&] { return text(at(info(), "Labels.0")) == "stage=three"; })) << "a good one is taken again";
}

TEST_F(ReloadTest, AChangeThatNeedsARestartIsNamed) {
  write(R"({"labels":["stage=four"], "mtu":1400})");
  hangup();
  ASSERT_TRUE(eventually([&] { return text(at(info(), "Labels.0")) == "stage=four"; }));
  EXPECT_NE(engine().log().find("takes effect at the next start"), std::string::npos) << engine().log();
  EXPECT_NE(engine().log().find("mtu"), std::string::npos);
}

}  // namespace
}  // namespace mydocker::test
