// Every endpoint of the Engine API has a row, and leads where it should: the tables alone, no engine.
#include "api/server/routes/routes.h"

#include <gtest/gtest.h>

#include <set>

namespace mydocker::api {
namespace {

std::vector<EngineRoute> all_rows() {
  std::vector<EngineRoute> rows;
  for (const std::span<const EngineRoute> table :
       {system_routes(), container_routes(), stream_routes(), exec_routes(), image_routes(), network_routes(),
        volume_routes(), build_routes(), plugin_routes(), swarm_routes()}) {
    rows.insert(rows.end(), table.begin(), table.end());
  }
  return rows;
}

/// The pattern of the row that serves a request; "" = 404.
std::string pattern_of(Method method, std::string_view path) {
  for (const EngineRoute& row : all_rows()) {
    if (row.method == method && match_pattern(row.pattern, path)) return std::string(row.pattern);
  }
  return "";
}

TEST(Routes, NoRowIsThereTwice) {
  std::set<std::pair<Method, std::string_view>> seen;
  for (const EngineRoute& row : all_rows()) {
    EXPECT_TRUE(seen.insert({row.method, row.pattern}).second) << row.pattern;
    EXPECT_NE(row.handler, nullptr) << row.pattern;
  }
}

TEST(Routes, EveryEndpointHasARow) {
  using M = Method;
  const std::vector<std::pair<M, const char*>> endpoints{{M::get, "/_ping"},
                                                         {M::head, "/_ping"},
                                                         {M::get, "/version"},
                                                         {M::get, "/info"},
                                                         {M::get, "/events"},
                                                         {M::get, "/system/df"},
                                                         {M::post, "/auth"},
                                                         {M::post, "/commit"},
                                                         {M::get, "/images/json"},
                                                         {M::post, "/images/create"},
                                                         {M::get, "/images/a/json"},
                                                         {M::get, "/images/a/history"},
                                                         {M::post, "/images/a/push"},
                                                         {M::post, "/images/a/tag"},
                                                         {M::delete_, "/images/a"},
                                                         {M::get, "/images/search"},
                                                         {M::post, "/images/prune"},
                                                         {M::get, "/images/a/get"},
                                                         {M::get, "/images/get"},
                                                         {M::post, "/images/load"},
                                                         {M::get, "/containers/json"},
                                                         {M::post, "/containers/create"},
                                                         {M::get, "/containers/a/json"},
                                                         {M::get, "/containers/a/top"},
                                                         {M::get, "/containers/a/logs"},
                                                         {M::get, "/containers/a/changes"},
                                                         {M::get, "/containers/a/export"},
                                                         {M::get, "/containers/a/stats"},
                                                         {M::post, "/containers/a/resize"},
                                                         {M::post, "/containers/a/start"},
                                                         {M::post, "/containers/a/stop"},
                                                         {M::post, "/containers/a/restart"},
                                                         {M::post, "/containers/a/kill"},
                                                         {M::post, "/containers/a/update"},
                                                         {M::post, "/containers/a/rename"},
                                                         {M::post, "/containers/a/pause"},
                                                         {M::post, "/containers/a/unpause"},
                                                         {M::post, "/containers/a/attach"},
                                                         {M::get, "/containers/a/attach/ws"},
                                                         {M::post, "/containers/a/wait"},
                                                         {M::delete_, "/containers/a"},
                                                         {M::head, "/containers/a/archive"},
                                                         {M::get, "/containers/a/archive"},
                                                         {M::put, "/containers/a/archive"},
                                                         {M::post, "/containers/prune"},
                                                         {M::get, "/containers/a/checkpoints"},
                                                         {M::post, "/containers/a/checkpoints"},
                                                         {M::delete_, "/containers/a/checkpoints/b"},
                                                         {M::post, "/containers/a/exec"},
                                                         {M::post, "/exec/a/start"},
                                                         {M::post, "/exec/a/resize"},
                                                         {M::get, "/exec/a/json"},
                                                         {M::get, "/networks"},
                                                         {M::get, "/networks/"},
                                                         {M::get, "/networks/a"},
                                                         {M::post, "/networks/create"},
                                                         {M::post, "/networks/a/connect"},
                                                         {M::post, "/networks/a/disconnect"},
                                                         {M::delete_, "/networks/a"},
                                                         {M::post, "/networks/prune"},
                                                         {M::get, "/volumes"},
                                                         {M::get, "/volumes/"},
                                                         {M::post, "/volumes/create"},
                                                         {M::get, "/volumes/a"},
                                                         {M::put, "/volumes/a"},
                                                         {M::delete_, "/volumes/a"},
                                                         {M::post, "/volumes/prune"},
                                                         {M::post, "/build"},
                                                         {M::post, "/build/prune"},
                                                         {M::post, "/build/cancel"},
                                                         {M::post, "/session"},
                                                         {M::post, "/grpc"},
                                                         {M::get, "/distribution/a/json"},
                                                         {M::get, "/plugins"},
                                                         {M::get, "/plugins/a/json"},
                                                         {M::get, "/plugins/privileges"},
                                                         {M::post, "/plugins/pull"},
                                                         {M::post, "/plugins/create"},
                                                         {M::delete_, "/plugins/a"},
                                                         {M::post, "/plugins/a/enable"},
                                                         {M::post, "/plugins/a/disable"},
                                                         {M::post, "/plugins/a/set"},
                                                         {M::post, "/plugins/a/push"},
                                                         {M::post, "/plugins/a/upgrade"},
                                                         {M::get, "/swarm"},
                                                         {M::post, "/swarm/init"},
                                                         {M::post, "/swarm/join"},
                                                         {M::post, "/swarm/leave"},
                                                         {M::post, "/swarm/update"},
                                                         {M::post, "/swarm/unlock"},
                                                         {M::get, "/swarm/unlockkey"},
                                                         {M::get, "/nodes"},
                                                         {M::get, "/nodes/a"},
                                                         {M::delete_, "/nodes/a"},
                                                         {M::post, "/nodes/a/update"},
                                                         {M::get, "/services"},
                                                         {M::get, "/services/a"},
                                                         {M::get, "/services/a/logs"},
                                                         {M::post, "/services/create"},
                                                         {M::post, "/services/a/update"},
                                                         {M::delete_, "/services/a"},
                                                         {M::get, "/tasks"},
                                                         {M::get, "/tasks/a"},
                                                         {M::get, "/tasks/a/logs"},
                                                         {M::get, "/secrets"},
                                                         {M::get, "/secrets/a"},
                                                         {M::post, "/secrets/create"},
                                                         {M::post, "/secrets/a/update"},
                                                         {M::delete_, "/secrets/a"},
                                                         {M::get, "/configs"},
                                                         {M::get, "/configs/a"},
                                                         {M::post, "/configs/create"},
                                                         {M::post, "/configs/a/update"},
                                                         {M::delete_, "/configs/a"}};
  for (const auto& [method, path] : endpoints) EXPECT_NE(pattern_of(method, path), "") << path;
}

TEST(Routes, NamesDoNotHideFixedPaths) {
  EXPECT_EQ(pattern_of(Method::get, "/images/json"), "/images/json");
  EXPECT_EQ(pattern_of(Method::get, "/images/get"), "/images/get");
  EXPECT_EQ(pattern_of(Method::get, "/images/search"), "/images/search");
  EXPECT_EQ(pattern_of(Method::get, "/images/h:5/a/b:1/json"), "/images/{name*}/json");
  EXPECT_EQ(pattern_of(Method::get, "/plugins/privileges"), "/plugins/privileges");
  EXPECT_EQ(pattern_of(Method::post, "/containers/create"), "/containers/create");
  EXPECT_EQ(pattern_of(Method::post, "/containers/prune"), "/containers/prune");
  EXPECT_EQ(pattern_of(Method::post, "/networks/create"), "/networks/create");
}

TEST(Routes, WhatDoesNotExistHasNoRow) {
  EXPECT_EQ(pattern_of(Method::get, "/containers/json/"), "");
  EXPECT_EQ(pattern_of(Method::get, "/images/a/attestations"), "");
  EXPECT_EQ(pattern_of(Method::put, "/containers/create"), "");
  EXPECT_EQ(pattern_of(Method::head, "/version"), "");
  EXPECT_EQ(pattern_of(Method::get, "/debug/vars"), "");
}

TEST(Routes, StreamsEndWithTheirClientAndVerbsDoNot) {
  for (const EngineRoute& row : all_rows()) {
    const bool is_stream = row.pattern == "/events" || row.pattern.ends_with("/logs") ||
                           row.pattern.ends_with("/wait") || row.pattern.ends_with("/get") ||
                           row.pattern == "/images/create" || row.pattern == "/images/load";
    if (is_stream && !row.pattern.starts_with("/services") && !row.pattern.starts_with("/tasks")) {
      EXPECT_EQ(row.on_hangup, OnHangup::cancel) << row.pattern;
    }
    if (row.pattern.ends_with("/start") || row.pattern.ends_with("/stop") || row.pattern == "/containers/create") {
      EXPECT_EQ(row.on_hangup, OnHangup::finish) << row.pattern;
    }
  }
}

}  // namespace
}  // namespace mydocker::api
