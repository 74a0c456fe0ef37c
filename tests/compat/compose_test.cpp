// Debian's docker-compose against our socket: a small project whose services need no network of their own.

#include <fcntl.h>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class ComposeTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("docker-compose");
    DaemonTest::SetUp();
    make_dirs(scratch("project"));
  }
  void write_project(const std::string& text) {
    write_all(open_file(scratch("project/docker-compose.yml"), O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), text);
  }
  CommandResult compose(std::vector<std::string> arguments) {
    const std::vector<std::string> program = {"docker-compose", "--no-ansi", "-p",
                                              "shop",           "-f",        scratch("project/docker-compose.yml")};
    arguments.insert(arguments.begin(), program.begin(), program.end());
    CommandOptions options{.environment = client_environment()};
    // It reads image fields that went with 1.45, whatever the engine's newest version is.
    options.environment.emplace_back("COMPOSE_API_VERSION=1.41");
    return run_command(std::move(arguments), options);
  }
};

TEST_F(ComposeTest, AProjectComesUpIsChangedAndGoes) {
  const std::string project = R"(version: "2.4"
services:
  web:
    image: payload
    command: [/payload, listen, "80", from the shop]
    network_mode: bridge
    ports: ["127.0.0.1:18110:80"]
    environment: {COLOUR: "COLOUR_HERE"}
    volumes: ["goods:/goods"]
    mem_limit: 64m
    restart: unless-stopped
  job:
    image: payload
    command: [sh, -c, "echo job done"]
    network_mode: none
    depends_on: [web]
volumes:
  goods: {}
)";
  write_project(project);
  const CommandResult up = compose({"up", "-d"});
  ASSERT_EQ(up.code, 0) << up.out << up.err;
  wait_ready("shop_web_1");
  EXPECT_NE(run_command({payload_program(), "connect", "127.0.0.1", "18110"}).out.find("from the shop"),
            std::string::npos);
  EXPECT_NE(compose({"ps"}).out.find("shop_web_1"), std::string::npos);
  ASSERT_TRUE(eventually([&] { return compose({"logs", "job"}).out.find("job done") != std::string::npos; }));
  EXPECT_EQ(compose({"exec", "-T", "web", "sh", "-c", "echo $COLOUR; touch /goods/kept"}).out, "COLOUR_HERE\n");
  EXPECT_NE(compose({"top", "web"}).out.find("/payload listen"), std::string::npos);
  EXPECT_NE(compose({"port", "web", "80"}).out.find("127.0.0.1:18110"), std::string::npos);

  // What did not change stays as it is; what did is made anew, with its volume.
  const std::string before = text(at(inspect("shop_web_1"), "Id"));
  ASSERT_EQ(compose({"up", "-d"}).code, 0);
  EXPECT_EQ(text(at(inspect("shop_web_1"), "Id")), before);
  std::string changed = project;
  changed.replace(changed.find("COLOUR_HERE"), 11, "blue");
  write_project(changed);
  const CommandResult again = compose({"up", "-d"});
  ASSERT_EQ(again.code, 0) << again.out << again.err;
  EXPECT_NE(text(at(inspect("shop_web_1"), "Id")), before);
  EXPECT_EQ(compose({"exec", "-T", "web", "sh", "-c", "echo $COLOUR; ls /goods"}).out, "blue\nkept\n");

  EXPECT_EQ(compose({"restart", "-t", "1", "web"}).code, 0);
  EXPECT_EQ(compose({"pause", "web"}).code, 0);
  EXPECT_EQ(compose({"unpause", "web"}).code, 0);
  EXPECT_EQ(compose({"stop", "-t", "1"}).code, 0);
  EXPECT_EQ(compose({"start"}).code, 0);
  const CommandResult down = compose({"down", "-v", "-t", "1"});
  EXPECT_EQ(down.code, 0) << down.out << down.err;
  EXPECT_EQ(client().get("/containers/json?all=1").body, "[]\n");
  EXPECT_EQ(client().get("/volumes/shop_goods").status, 404);
}

TEST_F(ComposeTest, RunGivesTheExitCode) {
  write_project("version: '2.4'\nservices: {one: {image: payload, network_mode: none}}\n");
  const CommandResult result = compose({"run", "--rm", "-T", "one", "sh", "-c", "echo ran; exit 5"});
  EXPECT_EQ(result.code, 5) << result.err;
  EXPECT_EQ(result.out, "ran\n") << result.err;
  EXPECT_EQ(compose({"down"}).code, 0);
}

}  // namespace
}  // namespace mydocker::test
