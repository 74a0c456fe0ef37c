#include <gtest/gtest.h>

#include <csignal>

#include "engine/base/error.h"
#include "engine/detach_keys.h"
#include "engine/name_generator.h"
#include "engine/signal_names.h"

namespace mydocker::engine {
namespace {

TEST(SignalNames, AllSpellingsMeanTheSame) {
  for (const char* text : {"TERM", "SIGTERM", "sigterm", "15", "Term"}) EXPECT_EQ(parse_signal(text), SIGTERM) << text;
  EXPECT_EQ(parse_signal("RTMIN+3"), 37);
  EXPECT_EQ(parse_signal("SIGRTMAX-2"), 62);
  EXPECT_EQ(parse_signal("HUP"), SIGHUP);
}

TEST(SignalNames, NonsenseIsNamedInTheError) {
  for (const char* text : {"FOO", "", "0", "65", "-9", "RTMIN+31", "9x"}) {
    EXPECT_THROW(
        {
          try {
            parse_signal(text);
          } catch (const Error& e) {
            EXPECT_EQ(e.kind(), ErrorKind::invalid_argument);
            EXPECT_EQ(e.message(), std::string("Invalid signal: ") + text);
            throw;
          }
        },
        Error)
        << text;
  }
}

TEST(DetachKeys, BecomeBytes) {
  EXPECT_EQ(parse_detach_keys(""), "\x10\x11");
  EXPECT_EQ(parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(parse_detach_keys("a,b,ctrl-["), std::string("ab\x1b"));
  EXPECT_EQ(parse_detach_keys("DEL"), "\x7f");
  EXPECT_EQ(parse_detach_keys("ctrl-@"), std::string(1, '\0'));
  EXPECT_THROW(parse_detach_keys("ctrl-A"), Error);
  EXPECT_THROW(parse_detach_keys("ab"), Error);
  EXPECT_THROW(parse_detach_keys("a,"), Error);
}

TEST(NameGenerator, FallsBackToTheShortId) {
  const std::string id(64, 'a');
  EXPECT_EQ(generate_name(id, [](const std::string&) { return true; }), std::string(12, 'a'));
  int asked = 0;
  const std::string name = generate_name(id, [&](const std::string&) { return ++asked < 3; });
  EXPECT_EQ(asked, 3);
  EXPECT_NE(name.find('_'), std::string::npos);
}

}  // namespace
}  // namespace mydocker::engine
