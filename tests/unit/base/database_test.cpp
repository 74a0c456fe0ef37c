#include "engine/base/database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker {
namespace {

using test::TempTree;

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    database_.transaction(
        [](Connection& c) { c.execute("CREATE TABLE things (name TEXT PRIMARY KEY, number INTEGER)"); });
  }
  static void insert(Connection& c, std::string_view name, std::int64_t number) {
    c.prepare("INSERT INTO things VALUES (?, ?)").bind(name).bind(number).step();
  }
  static std::int64_t count(Database& database) {
    return database.transaction([](Connection& c) {
      Statement query = c.prepare("SELECT count(*) FROM things");
      query.step();
      return query.integer(0);
    });
  }

  TempTree tree_;
  std::string path_ = tree_.path("state.db");
  Database database_{path_};
};

TEST_F(DatabaseTest, TheFileIsPrivate) {
  struct ::stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(DatabaseTest, WhatIsCommittedIsThereAfterReopening) {
  database_.transaction([](Connection& c) { insert(c, "a", 1); });
  Database second(path_);
  EXPECT_EQ(count(second), 1);
}

TEST_F(DatabaseTest, AnExceptionRollsEverythingBack) {
  EXPECT_THROW(database_.transaction([](Connection& c) {
    insert(c, "a", 1);
    throw std::runtime_error("x");
  }),
               std::runtime_error);
  EXPECT_EQ(count(database_), 0);
  EXPECT_NO_THROW(database_.transaction([](Connection& c) { insert(c, "b", 1); }));
}

TEST_F(DatabaseTest, ABrokenUniquenessIsAConflict) {
  database_.transaction([](Connection& c) { insert(c, "a", 1); });
  EXPECT_THROW_ERROR(database_.transaction([](Connection& c) { insert(c, "a", 2); }), ErrorKind::conflict, "UNIQUE");
}

TEST_F(DatabaseTest, BadSqlIsInternal) {
  EXPECT_THROW_ERROR(database_.transaction([](Connection& c) { c.execute("NOT SQL"); }), ErrorKind::internal,
                     "NOT SQL");
}

TEST_F(DatabaseTest, AnyBytesAreKept) {
  const std::string bytes("a\0b\xff'", 5);
  database_.transaction([&](Connection& c) { insert(c, bytes, 1); });
  const std::string back = database_.transaction([](Connection& c) {
    Statement query = c.prepare("SELECT name FROM things");
    query.step();
    return query.text(0);
  });
  EXPECT_EQ(back, bytes);
}

TEST_F(DatabaseTest, ThreadsTakeTurns) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        database_.transaction([&](Connection& c) { insert(c, concat(t, "-", i), i); });
      }
    });
  }
  threads.clear();
  EXPECT_EQ(count(database_), 100);
}

TEST_F(DatabaseTest, AnAcknowledgedChangeSurvivesSigkill) {
  const std::string path = tree_.path("killed.db");
  const pid_t child = ::fork();
  if (child == 0) {
    Database database(path);
    database.transaction([](Connection& c) {
      c.execute("CREATE TABLE things (name TEXT PRIMARY KEY, number INTEGER)");
      insert(c, "a", 1);
    });
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  Database database(path);
  EXPECT_EQ(count(database), 1);
}

}  // namespace
}  // namespace mydocker
