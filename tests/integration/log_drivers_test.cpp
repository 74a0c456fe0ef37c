// Where a container's output is kept: every driver, its options, its files, its messages.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <regex>

#include "engine/base/sys.h"
#include "runtime/log_compact.h"
#include "runtime/log_format.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

json::object log_config(const std::string& type, json::object options = {}) {
  return {{"LogConfig", json::object{{"Type", type}, {"Config", std::move(options)}}}};
}

/// A server of the test: datagrams, or one connection of a stream.
class LogServer {
 public:
  static LogServer inet(int type) {
    LogServer server;
    server.socket_ = UniqueFd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(server.socket_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) throw sys_error("bind");
    ::getsockname(server.socket_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    server.address_ = concat("127.0.0.1:", ntohs(address.sin_port));
    if (type == SOCK_STREAM) ::listen(server.socket_.get(), 4);
    return server;
  }
  static LogServer local(int type, const std::string& path) {
    LogServer server;
    server.socket_ = UniqueFd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(server.socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw sys_error("bind ", path);
    }
    server.address_ = path;
    if (type == SOCK_STREAM) ::listen(server.socket_.get(), 4);
    return server;
  }

  const std::string& address() const { return address_; }
  void accept() { connection_ = UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  /// A datagram, or what the stream has; "" at the end or after ten seconds.
  std::string receive() {
    const int fd = connection_ ? connection_.get() : socket_.get();
    if (!wait_readable(fd, 10'000)) return "";
    std::string out(std::size_t{256} << 10, '\0');
    const ssize_t got = ::recv(fd, out.data(), out.size(), 0);
    out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return out;
  }
  std::string receive_until(std::string_view text) {
    std::string out;
    while (out.find(text) == std::string::npos) {
      const std::string part = receive();
      if (part.empty()) return out;
      out += part;
    }
    return out;
  }

 private:
  UniqueFd socket_;
  UniqueFd connection_;
  std::string address_;
};

class LogDriverTest : public DaemonTest {
 protected:
  std::string finished(const std::string& script, json::object host, json::object extra = {}) {
    const std::string id = run({.command = {"sh", "-c", script}, .extra = std::move(extra), .host = std::move(host)});
    EXPECT_EQ(wait(id), 0);
    return id;
  }
  std::string directory(const std::string& id) { return engine().data_root() + "/containers/" + id; }
  Response try_create(json::object host) {
    return client().post("/containers/create", json::object{{"Image", "payload"}, {"HostConfig", std::move(host)}});
  }
};

TEST_F(LogDriverTest, LocalIsCompactAndReadBackByteForByte) {
  const std::string script = "for i in $(seq 1 500); do echo line $i; done; printf 'a\\377b\\n'; echo problem >&2";
  const std::string id = finished(script, log_config("local"));
  const Demultiplexed all = logs(id);
  EXPECT_TRUE(all.out.starts_with("line 1\nline 2\n"));
  EXPECT_TRUE(all.out.ends_with("line 500\na\377b\n")) << all.out.substr(all.out.size() - 40);  // no U+FFFD
  EXPECT_EQ(all.err, "problem\n");
  EXPECT_EQ(logs(id, "&tail=2").out + logs(id, "&tail=2").err, "a\377b\nproblem\n");
  EXPECT_TRUE(std::regex_search(logs(id, "&tail=1&timestamps=1").err, std::regex(R"(^\d{4}-.*\.\d{9}Z problem\n$)")));
  EXPECT_EQ(logs(id, "&since=4000000000").out, "");
  EXPECT_EQ(logs(id, "&until=1000000000").out, "");
  EXPECT_EQ(text(at(inspect(id), "LogPath")), "");
  struct stat compact{};
  ASSERT_EQ(::stat((directory(id) + "/local.log").c_str(), &compact), 0);
  EXPECT_LT(static_cast<std::size_t>(compact.st_size), all.out.size() + all.err.size() + 502 * 13);
  EXPECT_TRUE(find_file_at(AT_FDCWD, directory(id) + "/local.log.index"));
}

TEST_F(LogDriverTest, LocalIsFollowedAndGoesOnInTheNextRun) {
  const std::string id =
      create({.command = {"sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done"}, .host = log_config("local")});
  for (int round = 1; round <= 2; ++round) {
    start(id);
    HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
    const std::string once = "1\n2\n3\n";
    EXPECT_EQ(demultiplex(stream.read_to_end()).out, round == 1 ? once : once + once);
    wait(id);
  }
}

TEST_F(LogDriverTest, RotatedFilesAreCompressedAndReadAsOne) {
  for (const char* driver : {"json-file", "local"}) {
    const std::string id =
        finished("test -e /again && exec sleep 1000; touch /again; seq 1 20000",
                 log_config(driver, {{"max-size", "100k"}, {"max-file", "50"}, {"compress", "true"}}));
    const std::string file = directory(id) + (std::string(driver) == "local" ? "/local.log" : "/" + id + "-json.log");
    start(id);  // goes on with what the container's end has interrupted
    EXPECT_TRUE(
        eventually([&] { return find_file_at(AT_FDCWD, file + ".2.gz").has_value(); }, std::chrono::seconds(30)))
        << driver;
    EXPECT_FALSE(find_file_at(AT_FDCWD, file + ".1").has_value());
    std::string expected;
    for (int i = 1; i <= 20000; ++i) expected += std::to_string(i) + "\n";
    EXPECT_TRUE(logs(id).out == expected) << driver;
    const std::string tail = logs(id, "&tail=15000").out;
    EXPECT_TRUE(tail == expected.substr(expected.find("\n5001\n") + 1)) << driver << tail.substr(0, 100);
    const std::string stamps = logs(id, "&tail=18000&timestamps=1").out;
    EXPECT_EQ(std::count(stamps.begin(), stamps.end(), '\n'), 18000) << driver;
    remove(id);
  }
}

TEST_F(LogDriverTest, AFollowerSeesEachLineOnceWhileFilesAreRotatedAndCompressed) {
  const std::string id =
      create({.command = {"sh", "-c", "for i in $(seq 1 60); do seq $((i*100)) $((i*100+99)); sleep 0.01; done"},
              .host = log_config("json-file", {{"max-size", "10k"}, {"max-file", "100"}, {"compress", "true"}})});
  start(id);
  HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  std::string expected;
  for (int i = 100; i < 6100; ++i) expected += std::to_string(i) + "\n";
  EXPECT_TRUE(demultiplex(stream.read_to_end()).out == expected);
  wait(id);
}

TEST_F(LogDriverTest, DetailsShowLabelsVariablesAndTag) {
  const std::string id =
      finished("echo x",
               log_config("json-file", {{"labels", "color,missing"},
                                        {"labels-regex", "^com\\."},
                                        {"env", "MODE"},
                                        {"env-regex", "^LC_"},
                                        {"tag", "{{.Name}}/{{.ID}}"}}),
               {{"Labels", json::object{{"color", "dark red"}, {"com.example", "y"}, {"other", "z"}}},
                {"Env", json::array{"MODE=a,b", "LC_ALL=C", "HIDDEN=1"}}});
  const std::string name = text(at(inspect(id), "Name")).substr(1);
  EXPECT_EQ(logs(id, "&details=1").out,
            concat("LC_ALL=C,MODE=a%2Cb,color=dark+red,com.example=y,tag=", name, "%2F", id.substr(0, 12), " x\n"));
  EXPECT_EQ(logs(id).out, "x\n");
  const std::string plain = finished("echo x", {});
  EXPECT_EQ(logs(plain, "&details=1").out, " x\n");
}

TEST_F(LogDriverTest, RotationAndSizeLimitsAreOnByDefault) {
  const std::string id = finished("yes 0123456789012345678901234567890123456789 | head -c 15000000", {});
  struct stat current{};
  ASSERT_EQ(::stat((directory(id) + "/" + id + "-json.log").c_str(), &current), 0);
  EXPECT_LE(current.st_size, std::int64_t{20} << 20);
  EXPECT_TRUE(find_file_at(AT_FDCWD, directory(id) + "/" + id + "-json.log.1").has_value());
}

TEST_F(LogDriverTest, OptionsAreCheckedInDockersWords) {
  struct Row {
    const char* driver;
    json::object options;
    const char* words;
  };
  const Row rows[] = {
      {"json-file", {{"zz", "1"}}, "unknown log opt 'zz' for json-file log driver"},
      {"local", {{"tag", "x"}}, "unknown log opt 'tag' for local log driver"},
      {"journald", {{"max-size", "1m"}}, "unknown log opt 'max-size' for journald log driver"},
      {"syslog", {{"max-file", "1"}}, "unknown log opt 'max-file' for syslog log driver"},
      {"splunk", {}, "logger: no log driver named 'splunk' is registered"},
      {"json-file", {{"mode", "fast"}}, "logger: logging mode not supported: fast"},
      {"json-file",
       {{"max-buffer-size", "1m"}},
       "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
      {"json-file",
       {{"mode", "non-blocking"}, {"max-buffer-size", "much"}},
       "error parsing option max-buffer-size: invalid size: 'much'"},
      {"json-file", {{"max-size", "big"}}, "invalid size: 'big'"},
      {"json-file", {{"max-size", "0"}}, "max-size must be a positive number"},
      {"json-file", {{"max-file", "0"}}, "max-file cannot be less than 1"},
      {"json-file",
       {{"max-file", "1"}, {"compress", "true"}},
       "compress cannot be true when max-file is less than 2 or max-size is not set"},
      {"json-file", {{"labels-regex", "("}}, "error parsing log opt labels-regex: \"(\" is no regular expression"},
      {"syslog",
       {{"syslog-address", "localhost:1"}},
       "syslog-address should be in form proto://address, got localhost:1"},
      {"syslog", {{"syslog-facility", "nope"}}, "invalid syslog facility"},
      {"syslog", {{"syslog-format", "rfc1"}}, "Invalid syslog format"},
  };
  for (const Row& row : rows) {
    const Response response = try_create(log_config(row.driver, row.options));
    EXPECT_EQ(response.status, 400) << row.words;
    EXPECT_EQ(response.message(), row.words);
  }
  EXPECT_NE(try_create(log_config("syslog", {{"tag", "{{.Nope}}"}})).message().find("invalid log opt tag"),
            std::string::npos);
}

TEST_F(LogDriverTest, NoneKeepsNothingAndSaysSo) {
  const std::string id = finished("echo x", log_config("none"));
  const Response response = client().get("/containers/" + id + "/logs?stdout=1");
  EXPECT_EQ(response.status, 501);
  EXPECT_EQ(response.message(), "configured logging driver does not support reading");
  EXPECT_EQ(client().post("/containers/" + id + "/attach?logs=1&stdout=1").status, 501);
}

TEST_F(LogDriverTest, SyslogOverUdpInEveryFormat) {
  LogServer server = LogServer::inet(SOCK_DGRAM);
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  const std::string h = host;
  const std::pair<const char*, std::string> rows[] = {
      {"", "<30> \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\S+ " + h + " (\\w{12})\\[\\d+\\]: hello\n"},
      {"rfc3164", "<30>[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d " + h + " (\\w{12})\\[\\d+\\]: hello\n"},
      {"rfc5424",
       "<30>1 \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(Z|[+-]\\d\\d:\\d\\d) " + h + " \\w{12} \\d+ \\w{12} - hello\n"},
      {"rfc5424micro", "<30>1 \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}(Z|[+-]\\d\\d:\\d\\d) " + h +
                           " \\w{12} \\d+ \\w{12} - hello\n"}};
  for (const auto& [format, pattern] : rows) {
    const std::string id =
        finished("echo hello",
                 log_config("syslog", {{"syslog-address", "udp://" + server.address()}, {"syslog-format", format}}));
    const std::string message = server.receive();
    EXPECT_TRUE(std::regex_match(message, std::regex(pattern))) << format << ": " << message;
    EXPECT_NE(message.find(id.substr(0, 12)), std::string::npos);
    EXPECT_EQ(logs(id).out, "hello\n");
  }
}

TEST_F(LogDriverTest, WhatGoesToAServerIsReadBackFromItsCopy) {
  LogServer server = LogServer::inet(SOCK_DGRAM);
  const json::object host = log_config("syslog", {{"syslog-address", "udp://" + server.address()}});
  const std::string id = create({.command = {"sh", "-c", "seq 1 100; echo problem >&2"}, .host = host});
  for (int round = 1; round <= 2; ++round) {  // followed to its end, and gone on with in the next run
    start(id);
    HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1&stderr=1&follow=1&tail=all");
    const Demultiplexed all = demultiplex(stream.read_to_end());
    EXPECT_EQ(std::count(all.out.begin(), all.out.end(), '\n'), 100 * round);
    EXPECT_TRUE(all.out.starts_with("1\n2\n") && all.out.ends_with("\n99\n100\n"));
    EXPECT_EQ(std::count(all.err.begin(), all.err.end(), '\n'), round);
    wait(id);
  }
  EXPECT_EQ(logs(id, "&tail=3").out, "99\n100\n");
  EXPECT_TRUE(std::regex_search(logs(id, "&tail=1&timestamps=1").err, std::regex(R"(^\d{4}-.*\.\d{9}Z problem\n$)")));
  EXPECT_EQ(logs(id, "&since=4000000000").out, "");
  HttpStream replay = client().open("POST", "/containers/" + id + "/attach?logs=1&stderr=1");
  EXPECT_EQ(demultiplex(replay.read_to_end()).err, "problem\nproblem\n");
  EXPECT_EQ(text(at(inspect(id), "LogPath")), "");
  EXPECT_NE(server.receive().find("]: 1\n"), std::string::npos);  // and the server got it as well
}

TEST_F(LogDriverTest, TheCopysOptionsAreDockers) {
  LogServer server = LogServer::inet(SOCK_DGRAM);
  const auto syslog = [&](json::object options) {
    options["syslog-address"] = "udp://" + server.address();
    return log_config("syslog", std::move(options));
  };
  const std::string off = finished("echo x", syslog({{"cache-disabled", "true"}}));
  const Response refused = client().get("/containers/" + off + "/logs?stdout=1");
  EXPECT_EQ(refused.status, 501);
  EXPECT_EQ(refused.message(), "configured logging driver does not support reading");
  EXPECT_EQ(client().post("/containers/" + off + "/attach?logs=1&stdout=1").status, 501);
  EXPECT_FALSE(find_file_at(AT_FDCWD, directory(off) + "/cache.log"));

  const std::string small = finished(
      "seq 1 20000", syslog({{"cache-max-size", "50k"}, {"cache-max-file", "2"}, {"cache-compress", "false"}}));
  const std::string kept = logs(small).out;
  EXPECT_TRUE(kept.ends_with("\n19999\n20000\n"));
  EXPECT_LT(kept.size(), 100'000U);
  struct stat status{};
  ASSERT_EQ(::stat((directory(small) + "/cache.log").c_str(), &status), 0);
  EXPECT_LE(status.st_size, 50'000);
  EXPECT_EQ(::stat((directory(small) + "/cache.log.1").c_str(), &status), 0);
  EXPECT_NE(::stat((directory(small) + "/cache.log.2").c_str(), &status), 0);

  const std::pair<json::object, const char*> rows[] = {
      {{{"cache-disabled", "maybe"}}, "invalid value for log opt cache-disabled: \"maybe\""},
      {{{"cache-max-size", "big"}}, "invalid size: 'big'"},
      {{{"cache-max-file", "0"}}, "cache-max-file cannot be less than 1"},
      {{{"cache-zz", "0"}}, "unknown log opt 'cache-zz' for syslog log driver"}};
  for (const auto& [options, words] : rows) EXPECT_EQ(try_create(syslog(options)).message(), words);
  // A driver that is read by itself takes the options and needs no copy.
  const std::string plain = finished("echo x", log_config("json-file", {{"cache-disabled", "true"}}));
  EXPECT_EQ(logs(plain).out, "x\n");
  EXPECT_FALSE(find_file_at(AT_FDCWD, directory(plain) + "/cache.log"));
}

TEST_F(LogDriverTest, SyslogFacilityTagAndSeverity) {
  LogServer server = LogServer::inet(SOCK_DGRAM);
  const std::string id = run({.command = {"sh", "-c", "echo trouble >&2"},
                              .name = "tagged",
                              .host = log_config("syslog", {{"syslog-address", "udp://" + server.address()},
                                                            {"syslog-facility", "local7"},
                                                            {"tag", "{{.ImageName}}/{{.Name}}"}})});
  wait(id);
  const std::string message = server.receive();
  EXPECT_TRUE(message.starts_with("<187>")) << message;  // local7 * 8 + error
  EXPECT_NE(message.find(" payload/tagged["), std::string::npos) << message;
}

TEST_F(LogDriverTest, ATagIsATemplateOverWhatDockersDriversKnow) {
  const std::pair<const char*, std::string> rows[] = {
      {"{{.Name}}|{{.ImageName}}", "tagged%7Cpayload"},
      {"{{ .DaemonName }}/{{lower .Name}}", "docker%2Ftagged"},
      {"{{with split .ImageName \"/\"}}{{index . 0}}{{end}}", "payload"},
      {"{{index .ContainerLabels \"tier\"}}", "front"},
      {"{{(.ExtraAttributes nil).MODE}}", "fast"},
      {"{{printf \"%s-%.3s\" .Name .FullID}}", "tagged-ID3"},
      {"{{if .Command}}{{.Command}}{{end}}", "echo+x"},
      {"plain", "plain"}};
  for (const auto& [tag, expected] : rows) {
    const std::string id =
        run({.command = {"echo", "x"},
             .name = "tagged",
             .extra = {{"Labels", json::object{{"tier", "front"}}}, {"Env", json::array{"MODE=fast"}}},
             .host = log_config("json-file", {{"env", "MODE"}, {"tag", tag}})});
    wait(id);
    std::string wanted = expected;
    if (const std::size_t at = wanted.find("ID3"); at != std::string::npos) wanted.replace(at, 3, id.substr(0, 3));
    EXPECT_EQ(logs(id, "&details=1").out, concat("MODE=fast,tag=", wanted, " x\n")) << tag;
    remove(id);
  }
  for (const char* bad : {"{{.Nope}}", "{{.Name", "{{nofunction .Name}}"}) {
    const Response refused = try_create(log_config("json-file", {{"tag", bad}}));
    EXPECT_EQ(refused.status, 400) << bad;
    EXPECT_NE(refused.message().find(concat("invalid log opt tag \"", bad, "\": ")), std::string::npos)
        << refused.message();
  }
}

TEST_F(LogDriverTest, SyslogOverTcpAndUnixSockets) {
  LogServer tcp = LogServer::inet(SOCK_STREAM);
  const std::string first =
      finished("echo one; echo two", log_config("syslog", {{"syslog-address", "tcp://" + tcp.address()}}));
  tcp.accept();
  EXPECT_TRUE(std::regex_search(tcp.receive_until("two\n"), std::regex("]: one\n<30> .*]: two\n$")));

  const std::string path = scratch("stream.sock");
  LogServer stream = LogServer::local(SOCK_STREAM, path);
  finished("echo three", log_config("syslog", {{"syslog-address", "unix://" + path}}));
  stream.accept();
  EXPECT_TRUE(std::regex_match(stream.receive_until("three\n"),
                               std::regex("<30>[A-Z][a-z]{2} [ \\d]\\d [\\d:]{8} \\w{12}\\[\\d+\\]: three\n")));

  const std::string datagram_path = scratch("datagram.sock");
  LogServer datagrams = LogServer::local(SOCK_DGRAM, datagram_path);
  finished("echo four", log_config("syslog", {{"syslog-address", "unixgram://" + datagram_path}}));
  EXPECT_TRUE(datagrams.receive().ends_with("]: four\n"));
}

TEST_F(LogDriverTest, AServerThatRefusesFailsTheStartInTheDriversWords) {
  std::string address;
  {
    address = LogServer::inet(SOCK_STREAM).address();  // nobody listens there any more
  }
  const std::string id = create({.host = log_config("syslog", {{"syslog-address", "tcp://" + address}})});
  const Response response = client().post("/containers/" + id + "/start");
  EXPECT_GE(response.status, 400);
  EXPECT_NE(response.message().find("failed to initialize logging driver: dial tcp " + address), std::string::npos)
      << response.message();
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "created");
}

TEST_F(LogDriverTest, BlockingWaitsForTheServerAndLosesNothing) {
  LogServer server = LogServer::inet(SOCK_STREAM);
  const std::string id = run({.command = {"sh", "-c", "seq 1 200000; echo last"},
                              .host = log_config("syslog", {{"syslog-address", "tcp://" + server.address()}})});
  server.accept();
  HttpStream waiting = client().open("POST", "/containers/" + id + "/wait");
  EXPECT_THROW(waiting.read_some(std::chrono::milliseconds(500)), Error);
  const std::string all = server.receive_until("]: last\n");
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 200001);
  EXPECT_NE(waiting.read_to_end().find("\"StatusCode\":0"), std::string::npos);
}

TEST_F(LogDriverTest, NonBlockingNeverWaitsForTheServer) {
  LogServer server = LogServer::inet(SOCK_STREAM);
  const std::string id = run({.command = {"sh", "-c", "seq 1 200000; echo last"},
                              .host = log_config("syslog", {{"syslog-address", "tcp://" + server.address()},
                                                            {"mode", "non-blocking"},
                                                            {"max-buffer-size", "64k"}})});
  server.accept();
  EXPECT_EQ(wait(id), 0);  // nobody has read
  EXPECT_NE(server.receive().find("]: 1\n"), std::string::npos);
}

TEST_F(LogDriverTest, JournaldGetsFieldsAndIsRefusedWhereThereIsNone) {
  // In our own mount namespace: the host's /run stays as it is.
  ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  const std::string id = create({.command = {"sh", "-c", "echo hello; echo bad >&2"},
                                 .name = "journal",
                                 .extra = {{"Labels", json::object{{"my.label", "v"}}}},
                                 .host = log_config("journald", {{"labels", "my.label"}, {"tag", "{{.Name}}"}})});
  const Response refused = client().post("/containers/" + id + "/start");
  EXPECT_GE(refused.status, 400);
  EXPECT_NE(refused.message().find("failed to initialize logging driver: journald is not enabled on this host"),
            std::string::npos)
      << refused.message();
  {
    make_dirs("/run/systemd/journal");
    LogServer journal = LogServer::local(SOCK_DGRAM, "/run/systemd/journal/socket");
    start(id);
    wait(id);
    const std::string one = journal.receive();
    for (const std::string& line :
         {std::string("MESSAGE=hello\n"), std::string("PRIORITY=6\n"), "CONTAINER_ID_FULL=" + id + "\n",
          "CONTAINER_ID=" + id.substr(0, 12) + "\n", std::string("CONTAINER_NAME=journal\n"),
          std::string("CONTAINER_TAG=journal\n"), std::string("SYSLOG_IDENTIFIER=journal\n"),
          std::string("IMAGE_NAME=payload\n"), std::string("MY_LABEL=v\n")}) {
      EXPECT_NE(one.find(line), std::string::npos) << line << one;
    }
    const std::string two = journal.receive();
    EXPECT_NE(two.find("MESSAGE=bad\nPRIORITY=3\n"), std::string::npos) << two;
    EXPECT_EQ(logs(id).out, "hello\n");
    EXPECT_EQ(logs(id).err, "bad\n");
  }
  remove(id);
  ASSERT_EQ(::umount2("/run", MNT_DETACH), 0);
}

class LogDefaultsTest : public LogDriverTest {
 protected:
  std::vector<std::string> engine_flags() override {
    return {"--log-driver", "local", "--log-opt", "max-size=50k", "--log-opt", "max-file=2"};
  }
};

TEST_F(LogDefaultsTest, TheEnginesDefaultsAreTakenAndCompleted) {
  const std::string id = finished("seq 1 30000", {});
  EXPECT_EQ(write_json(at(inspect(id), "HostConfig.LogConfig")),
            R"({"Type":"local","Config":{"max-file":"2","max-size":"50k"}})");
  struct stat current{};
  ASSERT_EQ(::stat((directory(id) + "/local.log").c_str(), &current), 0);
  EXPECT_LE(current.st_size, 50'000);
  EXPECT_TRUE(logs(id).out.ends_with("\n29999\n30000\n"));
  const std::string own = create({.host = log_config("local", {{"max-size", "1m"}})});
  EXPECT_EQ(write_json(at(inspect(own), "HostConfig.LogConfig.Config")), R"({"max-file":"2","max-size":"1m"})");
  const std::string other = create({.host = log_config("json-file")});
  EXPECT_EQ(write_json(at(inspect(other), "HostConfig.LogConfig.Config")), "{}");
  EXPECT_EQ(text(at(client().get("/info").json(), "LoggingDriver")), "local");
}

TEST_F(LogDefaultsTest, BadDefaultsEndTheEngineWithTheirReason) {
  engine().kill();
  engine().set_flags({"--log-driver", "local", "--log-opt", "nope=1"});
  try {
    engine().start();
    ADD_FAILURE() << "the engine runs";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("unknown log opt 'nope' for local log driver"), std::string::npos)
        << error.message();
  }
  engine().set_flags(engine_flags());
  engine().start();
}

class LargeLogTest : public LogDriverTest {
 protected:
  static constexpr std::int64_t gigabyte = 1'000'000'000;

  /// A log of a gigabyte, one record a millisecond; gives the number of records.
  std::int64_t write_log(const std::string& path, bool compact) {
    UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    std::string block;
    std::int64_t records = 0;
    for (std::int64_t size = 0; size < gigabyte;) {
      block.clear();
      while (block.size() < (std::size_t{4} << 20)) {
        const Timestamp time = from_unix_nanoseconds(first_ns + records * 1'000'000);
        const std::string text = concat("record ", records, std::string(180, '.'), "\n");
        if (compact) {
          runtime::append_compact_record(block, text, runtime::StreamId::out, time);
        } else {
          runtime::append_log_record(block, text, runtime::StreamId::out, "", time);
        }
        ++records;
      }
      write_all(file.get(), block);
      size += static_cast<std::int64_t>(block.size());
    }
    return records;
  }

  /// Milliseconds from the request to the first line, the best of three: the machine may be busy.
  double first_line(const std::string& id, const std::string& query, std::string& line) {
    double best = 1e9;
    for (int i = 0; i < 10 && best >= 50; ++i) {  // other tests run beside this one: the best of several counts
      const auto begin = std::chrono::steady_clock::now();
      HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1" + query);
      line = stream.read_line().value_or("");
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
      best = std::min(best, took.count());
    }
    return best;
  }

  static constexpr std::int64_t first_ns = 1'700'000'000'000'000'000;
};

TEST_F(LargeLogTest, TheFirstLineOfAGigabyteComesWithinFiftyMilliseconds) {
  for (const char* driver : {"json-file", "local"}) {
    const bool compact = std::string(driver) == "local";
    const std::string id = create({.command = {"true"}, .host = log_config(driver, {{"max-size", "4g"}})});
    const std::string path = directory(id) + (compact ? "/local.log" : "/" + id + "-json.log");
    const std::int64_t records = write_log(path, compact);
    start(id);  // the driver's own writer opens the file, and completes its index
    wait(id);
    std::string line;
    const std::int64_t middle = records / 2;
    const std::string since = std::to_string((first_ns + middle * 1'000'000) / 1'000'000'000);
    const std::pair<std::string, std::int64_t> rows[] = {
        {"&tail=100", records - 100},
        {"&tail=5000", records - 5000},
        {"&since=" + since, (std::stoll(since) * 1'000'000'000 - first_ns) / 1'000'000},
        {"&until=" + since, 0},
        {"&since=" + since + "&until=" + std::to_string(std::stoll(since) + 1),
         (std::stoll(since) * 1'000'000'000 - first_ns) / 1'000'000}};
    for (const auto& [query, record] : rows) {
      const double took = first_line(id, query, line);
      EXPECT_NE(line.find(concat("record ", record, ".")), std::string::npos) << driver << query << ": " << line;
      EXPECT_LT(took, 50) << driver << query;
      std::printf("%s %s: %.1f ms\n", driver, query.c_str(), took);
    }
    if (compact) {  // the index: a third of the log, without counting its lines
      const double took = first_line(id, "&tail=" + std::to_string(records / 3), line);
      EXPECT_NE(line.find(concat("record ", records - records / 3, ".")), std::string::npos) << line;
      EXPECT_LT(took, 50);
    }
    remove(id);
  }
}

}  // namespace
}  // namespace mydocker::test
