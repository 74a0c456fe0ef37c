// What a container printed, as the log endpoint gives it back.

#include <regex>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class LogsTest : public DaemonTest {
 protected:
  std::string finished(const std::string& script) {
    const std::string id = run({.command = {"sh", "-c", script}});
    wait(id);
    return id;
  }
};

TEST_F(LogsTest, TailGivesTheLastLines) {
  const std::string id = finished("seq 1 1000");
  EXPECT_EQ(logs(id, "&tail=3").out, "998\n999\n1000\n");
  EXPECT_EQ(logs(id, "&tail=0").out, "");
  EXPECT_EQ(logs(id, "&tail=all").out.size(), logs(id).out.size());
}

TEST_F(LogsTest, OneStreamCanBeChosen) {
  const std::string id = finished("echo out; echo err >&2");
  const std::string frames = client().get("/containers/" + id + "/logs?stderr=1").body;
  EXPECT_EQ(demultiplex(frames).out, "");
  EXPECT_EQ(demultiplex(frames).err, "err\n");
  EXPECT_EQ(client().get("/containers/" + id + "/logs").status, 400);
}

TEST_F(LogsTest, TimestampsHaveNineDigits) {
  const std::string id = finished("echo x");
  const std::string line = logs(id, "&timestamps=1").out;
  EXPECT_TRUE(std::regex_match(line, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z x\n)"))) << line;
}

TEST_F(LogsTest, SinceAndUntilCutByTime) {
  const std::string id = finished("echo first; sleep 1.2; echo second");
  const std::string stamp = logs(id, "&timestamps=1&tail=1").out;
  const std::string finished_at = text(at(inspect(id), "State.StartedAt"));
  EXPECT_EQ(logs(id, "&since=4000000000").out, "");
  EXPECT_EQ(logs(id, "&until=1000000000").out, "");
  EXPECT_EQ(logs(id, "&since=1000000000").out, "first\nsecond\n");
  EXPECT_EQ(client().get("/containers/" + id + "/logs?stdout=1&since=2024-01-01T00:00:00Z").status, 400);
}

TEST_F(LogsTest, FollowEndsWithTheContainer) {
  const std::string id = create({.command = {"sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"}});
  start(id);
  HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  EXPECT_EQ(demultiplex(stream.read_to_end()).out, "1\n2\n3\n4\n5\n");
}

TEST_F(LogsTest, FollowSendsItsHeadersWithoutALine) {
  const std::string id = run({.command = {"sleep", "1000"}});
  HttpStream stream = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  EXPECT_EQ(stream.head().status, 200);
  remove(id);
  EXPECT_EQ(stream.read_to_end(), "");
}

TEST_F(LogsTest, TheFileHasDockersFormat) {
  const std::string id = finished("echo 'a \"quoted\" line'; printf partial; echo err >&2");
  const std::string path = text(at(inspect(id), "LogPath"));
  EXPECT_TRUE(path.ends_with(concat("/containers/", id, "/", id, "-json.log"))) << path;
  const std::string content = read_file(path);
  EXPECT_TRUE(std::regex_search(
      content, std::regex(R"(\{"log":"a \\"quoted\\" line\\n","stream":"stdout","time":"[0-9T:.-]+Z"\}\n)")))
      << content;
  EXPECT_NE(content.find("{\"log\":\"partial\",\"stream\":\"stdout\""), std::string::npos) << content;
  EXPECT_EQ(logs(id).out, "a \"quoted\" line\npartial");
}

TEST_F(LogsTest, LongLinesComeBackWhole) {
  const std::string id = finished("head -c 100000 /dev/zero | tr '\\0' x; echo");
  EXPECT_EQ(logs(id).out, std::string(100000, 'x') + "\n");
}

TEST_F(LogsTest, AnyBytesSurvive) {
  const std::string id = finished("printf 'a\\tb\\033[31m\\\\ \\303\\244\\n'");
  EXPECT_EQ(logs(id).out, "a\tb\x1b[31m\\ \xC3\xA4\n");
}

TEST_F(LogsTest, RotationBoundsTheFiles) {
  const std::string id =
      run({.command = {"/payload", "spew", "5000000"},
           .host = {{"NetworkMode", "none"},
                    {"LogConfig", json::object{{"Type", "json-file"},
                                               {"Config", json::object{{"max-size", "500k"}, {"max-file", "3"}}}}}}});
  EXPECT_EQ(wait(id), 0);
  const std::string path = text(at(inspect(id), "LogPath"));
  EXPECT_TRUE(path_exists(path));
  EXPECT_TRUE(path_exists(path + ".1"));
  EXPECT_TRUE(path_exists(path + ".2"));
  EXPECT_FALSE(path_exists(path + ".3"));
  EXPECT_LE(read_file(path + ".1").size(), 600'000U);
  const std::string kept = logs(id).out;
  EXPECT_GT(kept.size(), 500'000U);
  EXPECT_EQ(kept.size() % 100, 0U);
}

TEST_F(LogsTest, TheDriverNoneCannotBeRead) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"LogConfig", json::object{{"Type", "none"}}}}});
  EXPECT_EQ(client().get("/containers/" + id + "/logs?stdout=1").status, 501);
  EXPECT_EQ(text(at(inspect(id), "LogPath")), "");
}

TEST_F(LogsTest, ATerminalsLogIsRaw) {
  const Outcome outcome = run_to_end({.command = {"echo", "x"}, .extra = {{"Tty", true}}});
  EXPECT_EQ(outcome.out, "x\r\n");
}

}  // namespace
}  // namespace mydocker::test
