#include "api/server/dialect.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

constexpr std::string_view everything = R"({
  "Healthcheck": {"Test": ["CMD", "true"], "StartInterval": 5000000000},
  "HostConfig": {
    "ConsoleSize": [24, 80], "Annotations": {"a": "b"},
    "Mounts": [
      {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
       "BindOptions": {"NonRecursive": true, "CreateMountpoint": true}, "VolumeOptions": {"NoCopy": true}},
      {"Type": "tmpfs", "Target": "/c", "BindOptions": {"NonRecursive": true}}
    ]
  },
  "NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": "02:42:ac:11:00:09", "GwPriority": 7}}}
})";

ContainerCreateRequest fit(std::string_view body, int minor) {
  auto request = from_json<ContainerCreateRequest>(parse_json(body));
  fit_create_request(request, ApiVersion{1, minor});
  return request;
}

std::string refusal(std::string_view body, int minor) {
  try {
    fit(body, minor);
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

TEST(Dialect, TheNewestKeepsEverything) {
  const auto request = fit(everything, 51);
  EXPECT_EQ(write_json(to_json(request)),
            write_json(to_json(from_json<ContainerCreateRequest>(parse_json(everything)))));
}

// Each switch with the last version that has it and the first that has not.
TEST(Dialect, AFieldIsDroppedBelowTheVersionThatBroughtIt) {
  const auto bind = [](int minor) { return fit(everything, minor).host_config.mounts.at(0); };
  const auto host = [](int minor) { return fit(everything, minor).host_config; };
  const auto endpoint = [](int minor) {
    return fit(everything, minor).networking_config.endpoints_config.at("bridge");
  };
  EXPECT_FALSE(bind(39).bind_options->non_recursive);
  EXPECT_TRUE(bind(40).bind_options->non_recursive);
  EXPECT_EQ(host(39).ipc_mode, "shareable");
  EXPECT_EQ(host(40).ipc_mode, "");
  EXPECT_EQ(host(41).console_size.width, 0);
  EXPECT_EQ(host(42).console_size.width, 80);
  EXPECT_FALSE(bind(41).bind_options->create_mountpoint);
  EXPECT_TRUE(bind(42).bind_options->create_mountpoint);
  EXPECT_FALSE(bind(41).volume_options.has_value());
  EXPECT_TRUE(bind(42).volume_options.has_value());
  EXPECT_FALSE(host(41).mounts.at(1).bind_options.has_value());
  EXPECT_TRUE(host(42).mounts.at(1).bind_options.has_value());
  EXPECT_TRUE(host(42).annotations.empty());
  EXPECT_FALSE(host(43).annotations.empty());
  EXPECT_EQ(fit(everything, 43).healthcheck->start_interval_ns, 0);
  EXPECT_EQ(fit(everything, 44).healthcheck->start_interval_ns, 5'000'000'000);
  EXPECT_TRUE(bind(43).bind_options->read_only_non_recursive);
  EXPECT_FALSE(bind(44).bind_options->read_only_non_recursive);
  EXPECT_EQ(endpoint(43).mac_address, "");
  EXPECT_EQ(endpoint(44).mac_address, "02:42:ac:11:00:09");
  EXPECT_EQ(endpoint(47).gateway_priority, 0);
  EXPECT_EQ(endpoint(48).gateway_priority, 7);
}

TEST(Dialect, WhatAnOlderVersionCannotMeanIsRefused) {
  constexpr std::string_view subpath =
      R"({"HostConfig":{"Mounts":[{"Type":"volume","Source":"v","Target":"/v","VolumeOptions":{"Subpath":"x"}}]}})";
  EXPECT_EQ(refusal(subpath, 44), "VolumeOptions.Subpath needs API v1.45 or newer");
  EXPECT_EQ(refusal(subpath, 45), "");
  constexpr std::string_view image = R"({"HostConfig":{"Mounts":[{"Type":"image","Source":"i","Target":"/i"}]}})";
  EXPECT_EQ(refusal(image, 47), "Mount type \"Image\" needs API v1.48 or newer");
  EXPECT_EQ(refusal(image, 48), "");
}

TEST(Dialect, ListsAndInspectsAreBroughtDown) {
  std::vector<ContainerSummary> list(1);
  list[0].host_config.annotations = StringMap{{"a", "b"}};
  std::vector<ContainerSummary> older = list;
  fit_container_list(older, ApiVersion{1, 45});
  EXPECT_TRUE(older[0].host_config.annotations.empty());
  fit_container_list(list, ApiVersion{1, 46});
  EXPECT_FALSE(list[0].host_config.annotations.empty());

  NetworkInspect network;
  network.enable_ipv4 = true;
  fit_network(network, ApiVersion{1, 48});
  EXPECT_TRUE(network.enable_ipv4.has_value());
  fit_network(network, ApiVersion{1, 47});
  EXPECT_FALSE(network.enable_ipv4.has_value());

  const auto image = [](int minor) { return fit_image_inspect(ImageInspect{}, ApiVersion{1, minor}).as_object(); };
  EXPECT_TRUE(image(44).contains("ContainerConfig"));
  EXPECT_FALSE(image(45).contains("ContainerConfig"));
  EXPECT_TRUE(image(49).at("Config").as_object().contains("Tty"));
  EXPECT_FALSE(image(50).at("Config").as_object().contains("Tty"));
}

TEST(Dialect, KernelMemoryIsReadBefore142Only) {
  constexpr std::string_view body = R"({"HostConfig": {"KernelMemory": 1000000}})";
  EXPECT_EQ(fit(body, 41).host_config.kernel_memory_bytes, 1000000);
  EXPECT_EQ(fit(body, 42).host_config.kernel_memory_bytes, 0);
  EXPECT_EQ(write_json(to_json(fit(body, 51))).find("KernelMemory"), std::string::npos);
  for (const int minor : {41, 42}) {
    auto update = from_json<UpdateRequest>(parse_json(R"({"KernelMemory": 1000000})"));
    fit_update_request(update, ApiVersion{1, minor});
    EXPECT_EQ(update.kernel_memory_bytes, minor == 41 ? 1000000 : 0);
  }
}

}  // namespace
}  // namespace mydocker::api
