#include "engine/list_filters.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "engine/base/error.h"
#include "engine/container_view.h"

namespace mydocker::engine {
namespace {

class ListFilters : public testing::Test {
 protected:
  ContainerPtr add(const std::string& id, const std::string& name, ContainerState state, std::int64_t created) {
    auto container = std::make_shared<Container>(io.get_executor());
    container->record.id = id + std::string(64 - id.size(), '0');
    container->record.name = name;
    container->record.created = created;
    container->state = state;
    container->record.path = "sh";
    containers.add(container);
    return container;
  }
  bool accepts(const Filters& filters, const ContainerPtr& container) {
    return ContainerFilter(filters, containers, {}).accepts(*container);
  }

  asio::io_context io;
  ContainerStore containers;
};

TEST_F(ListFilters, NamesAreUnanchoredExpressions) {
  const auto web = add("aa", "web1", ContainerState::running, 1);
  EXPECT_TRUE(accepts({{"name", {"eb"}}}, web));
  EXPECT_TRUE(accepts({{"name", {"^/web1$"}}}, web));
  EXPECT_TRUE(accepts({{"name", {"^web1$"}}}, web));
  EXPECT_FALSE(accepts({{"name", {"^/web$"}}}, web));
  EXPECT_FALSE(accepts({{"name", {"[", "x"}}}, web));
}

TEST_F(ListFilters, LabelsAreAndedValuesOred) {
  const auto web = add("aa", "web", ContainerState::exited, 1);
  web->record.config.labels = {{"a", "b"}, {"c", ""}};
  web->record.started_at = 5;
  web->record.exit_code = 3;
  EXPECT_TRUE(accepts({{"label", {"a=b", "c"}}}, web));
  EXPECT_FALSE(accepts({{"label", {"a=b", "d"}}}, web));
  EXPECT_TRUE(accepts({{"status", {"running", "exited"}}}, web));
  EXPECT_TRUE(accepts({{"exited", {"3"}}}, web));
  EXPECT_FALSE(accepts({{"exited", {"0"}}}, web));
}

TEST_F(ListFilters, BadFiltersAreRefused) {
  EXPECT_THROW(ContainerFilter({{"bogus", {"x"}}}, containers, {}), Error);
  EXPECT_THROW(ContainerFilter({{"status", {"zz"}}}, containers, {}), Error);
  EXPECT_THROW(ContainerFilter({{"before", {"nobody"}}}, containers, {}), Error);
}

TEST_F(ListFilters, NamesWinOverPrefixesAndAmbiguityIsSaid) {
  const auto first = add("abcd", "web", ContainerState::created, 1);
  const auto second = add("abce", "abcd", ContainerState::created, 2);
  EXPECT_EQ(containers.get("abcd"), second);
  EXPECT_EQ(containers.get("abcd0"), first);
  EXPECT_EQ(containers.get("/web"), first);
  EXPECT_THROW(containers.get("ab"), Error);
  EXPECT_THROW(containers.get(""), Error);
  EXPECT_EQ(containers.list().front(), second);
}

TEST_F(ListFilters, ATakenNameIsAConflictInDockersWords) {
  const auto web = add("aa", "web", ContainerState::created, 1);
  try {
    containers.reserve_name("web", "other");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::conflict);
    EXPECT_EQ(e.message(), "Conflict. The container name \"/web\" is already in use by container \"" + web->id() +
                               "\". You have to remove (or rename) that container to be able to reuse that name.");
  }
}

TEST_F(ListFilters, StatusTextsFollowTheState) {
  const auto web = add("aa", "web", ContainerState::running, 1);
  web->record.started_at = 1'000'000'000'000;
  const Timestamp later = from_unix_nanoseconds(1'000'000'000'000 + 90'000'000'000LL);
  EXPECT_EQ(make_status_text(*web, later), "Up About a minute");
  web->state = ContainerState::paused;
  EXPECT_EQ(make_status_text(*web, later), "Up About a minute (Paused)");
  web->state = ContainerState::exited;
  web->record.exit_code = 137;
  web->record.finished_at = web->record.started_at;
  EXPECT_EQ(make_status_text(*web, later), "Exited (137) About a minute ago");
  web->record.args = {"-c", "echo hi; sleep 100"};
  EXPECT_EQ(make_command_text(web->record), "sh -c 'echo hi; sleep 100'");
}

}  // namespace
}  // namespace mydocker::engine
