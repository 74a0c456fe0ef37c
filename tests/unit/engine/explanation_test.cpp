#include "engine/explanation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/program_facts.h"
#include "tests/support/temp_tree.h"

namespace mydocker::engine {
namespace {

ExplainFacts ended(int code) {
  ExplainFacts facts;
  facts.record.path = "/app";
  facts.record.started_at = 1;
  facts.record.exit_code = code;
  facts.state = ContainerState::exited;
  return facts;
}

std::string all_text(const api::Explanation& why) {
  std::string text = why.verdict;
  for (const std::string& reason : why.reasons) text += "\n" + reason;
  return text;
}

TEST(Explanation, EveryExitCodeHasItsWords) {
  const std::pair<int, const char*> cases[] = {
      {0, "ended by itself, with success"},
      {1, "ended by itself with code 1"},
      {126, "cannot be executed"},
      {127, "does not exist"},
      {128 + 9, "Somebody sent it SIGKILL"},
      {128 + 11, "SIGSEGV"},
      {128 + 15, "SIGTERM"},
      {128 + 31, "system call that its seccomp profile forbids"},
      {255, "code 255"},
  };
  for (const auto& [code, words] : cases) {
    EXPECT_NE(make_explanation(ended(code)).verdict.find(words), std::string::npos) << code;
  }
}

TEST(Explanation, AnOomKillNamesTheLimitAndAStopIsNone) {
  ExplainFacts facts = ended(137);
  facts.record.oom_killed = true;
  facts.record.host_config.memory_bytes = 64 << 20;
  EXPECT_NE(all_text(make_explanation(facts)).find("64 MiB"), std::string::npos);
  facts.record.oom_killed = false;
  facts.record.stopped_by_user = true;
  EXPECT_NE(make_explanation(facts).verdict.find("It was stopped"), std::string::npos);
}

TEST(Explanation, ARefusalInTheOutputIsQuotedAndItsRightNamed) {
  ExplainFacts facts = ended(1);
  facts.record.host_config.cap_drop = api::StringList{"CAP_CHOWN"};
  const auto explain = [&](const std::string& line) {
    facts.log = {"starting", line, "bye"};
    const std::string text = all_text(make_explanation(facts));
    EXPECT_NE(text.find(line), std::string::npos) << text;
    return text;
  };
  const std::pair<const char*, const char*> rows[] = {
      {"mount: /mnt: Operation not permitted", "system call mount, which needs CAP_SYS_ADMIN; the container does not"},
      {"mount: permission denied (are you root?)", "--cap-add SYS_ADMIN gives it"},
      {"chown: /f: Operation not permitted", "needs CAP_CHOWN; the container does not have it"},
      {"RTNETLINK answers: Operation not permitted", "--cap-add NET_ADMIN"},
      {"keyctl: EPERM", "system call keyctl, which the default seccomp profile does not have"},
      {"something: Operation not permitted", "without CAP_CHOWN"},
      {"something: Operation not permitted", "--security-opt seccomp=unconfined"},
      {"cat: /root/x: Permission denied", "owner and mode of a file"},
      {"mknod: /d: Operation not permitted", "without CAP_CHOWN"},  // has CAP_MKNOD: it was something else
  };
  for (const auto& [line, words] : rows) EXPECT_NE(explain(line).find(words), std::string::npos) << explain(line);
  facts.record.config.user = "1000";
  EXPECT_NE(explain("mknod: /d: Operation not permitted").find("runs as the user 1000"), std::string::npos);
  facts.record.host_config.cap_add = api::StringList{"CAP_SYS_ADMIN"};
  facts.record.config.user = "";
  EXPECT_NE(explain("mount: Operation not permitted").find("default capabilities and CAP_SYS_ADMIN"),
            std::string::npos);
  facts.record.exit_code = 0;
  facts.log = {"mount: Operation not permitted"};
  EXPECT_EQ(all_text(make_explanation(facts)).find("refusal"), std::string::npos) << "it succeeded all the same";
}

TEST(Explanation, AStartThatFailedSaysWhatWasMissing) {
  ExplainFacts facts = ended(127);
  facts.record.error = "failed: unable to start container process: exec: \"/app\": no such file or directory";
  EXPECT_NE(make_explanation(facts).verdict.find("no program /app"), std::string::npos);
  facts.program =
      ProgramFacts{.found = true, .executable = true, .interpreter = "/lib/ld.so", .interpreter_found = false};
  const std::string text = all_text(make_explanation(facts));
  EXPECT_NE(text.find("wants /lib/ld.so, which the image does not have"), std::string::npos) << text;
}

TEST(Explanation, AnUnhealthyContainerShowsItsProbe) {
  ExplainFacts facts;
  facts.state = ContainerState::running;
  facts.health = "unhealthy";
  facts.health_output = "connection refused";
  EXPECT_NE(all_text(make_explanation(facts)).find("connection refused"), std::string::npos);
}

TEST(Explanation, TheRefusedPortIsReadFromTheError) {
  EXPECT_EQ(find_refused_port("endpoint web (x): Bind for 0.0.0.0:8080 failed: port is already allocated"),
            "0.0.0.0:8080");
  EXPECT_EQ(find_refused_port("x: failed to bind host port for 127.0.0.1:80:172.17.0.3:8/tcp: address already in use"),
            "127.0.0.1:80");
  EXPECT_EQ(find_refused_port("failed to bind host port for [::1]:80:172.17.0.3:8/tcp: address already in use"),
            "[::1]:80");
  EXPECT_EQ(find_refused_port("something else failed: port is already allocated"), "");
  EXPECT_EQ(find_refused_port(""), "");
}

TEST(ProgramFacts, LayersAreSeenAsIfMounted) {
  const test::TempTree upper{{"usr/bin/tool", "#! /usr/bin/python3 -u\n"}};
  const test::TempTree lower{{"usr/bin/python3", "x"}, {"usr/bin/plain", "text"}};
  ASSERT_EQ(::symlink("usr/bin", lower.path("bin").c_str()), 0);
  ASSERT_EQ(::symlink("/../../../../etc/passwd", lower.path("usr/bin/escape").c_str()), 0);
  const std::vector<std::string> layers{upper.path(), lower.path()};
  const ProgramFacts tool = find_program_facts(layers, "/bin/tool", "");
  EXPECT_TRUE(tool.found) << "the link lies in the lower layer, the file in the upper one";
  EXPECT_EQ(tool.interpreter, "/usr/bin/python3");
  EXPECT_TRUE(tool.interpreter_found);
  EXPECT_TRUE(find_program_facts(layers, "plain", "/sbin:/bin").found);
  EXPECT_FALSE(find_program_facts(layers, "plain", "/bin").executable);
  EXPECT_FALSE(find_program_facts(layers, "escape", "/bin").found) << "links stay inside";
  EXPECT_FALSE(find_program_facts(layers, "/bin/../../../../etc/passwd", "").found);
}

}  // namespace
}  // namespace mydocker::engine
