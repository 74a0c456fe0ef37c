// Round trips against the documents that real clients and daemons exchange (WIRE).
#include <gtest/gtest.h>

#include "api/types/container.h"
#include "api/types/event.h"
#include "api/types/exec.h"
#include "api/types/image.h"
#include "api/types/network.h"
#include "api/types/progress.h"
#include "api/types/stats.h"
#include "api/types/system.h"
#include "api/types/volume.h"

namespace mydocker::api {
namespace {

template <typename T>
void expect_round_trip(std::string_view text) {
  const json::value document = parse_json(text);
  EXPECT_EQ(write_json(to_json(from_json<T>(document))), write_json(document));
}

template <typename T>
T parse(std::string_view text) {
  return from_json<T>(parse_json(text));
}

TEST(ContainerTypes, CreateRequestOfTheCli) {
  const auto request = parse<ContainerCreateRequest>(R"({"Hostname":"","User":"","Env":["A=1"],"Cmd":["sleep","60"],
    "Image":"busybox:1","Labels":{"k":"v"},"ExposedPorts":{"80/tcp":{}},
    "HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},
      "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"NetworkMode":"default","NanoCpus":500000000,"Memory":104857600,
      "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"ConsoleSize":[24,80],"Init":true,"MaskedPaths":[]},
    "NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Aliases":null,"DriverOpts":null},"x":null}},
    "Unknown":[1,2]})");
  EXPECT_EQ(request.cmd, (CommandLine{"sleep", "60"}));
  EXPECT_EQ(request.entrypoint, std::nullopt);
  EXPECT_TRUE(request.exposed_ports.contains("80/tcp"));
  EXPECT_EQ(request.host_config.nano_cpus, 500000000);
  EXPECT_EQ(request.host_config.memory_bytes, 104857600);
  EXPECT_EQ(request.host_config.memory_swappiness, -1);
  EXPECT_EQ(request.host_config.console_size, (ConsoleSize{24, 80}));
  EXPECT_EQ(request.host_config.init, true);
  EXPECT_EQ(request.host_config.masked_paths, StringList{});
  EXPECT_EQ(request.host_config.readonly_paths, std::nullopt);
  EXPECT_EQ(request.host_config.port_bindings.at("80/tcp")->at(0).host_port, "8080");
  EXPECT_EQ(request.networking_config.endpoints_config.size(), 2U);
}

TEST(ContainerTypes, CommandsMayBeOneString) {
  EXPECT_EQ(parse<ContainerConfig>(R"({"Cmd":"date"})").cmd, CommandLine{"date"});
  EXPECT_EQ(parse<ContainerConfig>(R"({"Entrypoint":[]})").entrypoint, CommandLine{});
  EXPECT_EQ(parse<ContainerConfig>(R"({"Entrypoint":null})").entrypoint, std::nullopt);
  EXPECT_THROW(parse<ContainerConfig>(R"({"Cmd":5})"), Error);
}

TEST(ContainerTypes, KeysAreMatchedWithoutCase) {
  EXPECT_EQ(parse<ContainerCreateRequest>(R"({"image":"x","hostconfig":{"MEMORY":7}})").host_config.memory_bytes, 7);
}

TEST(ContainerTypes, WrongTypesNameTheField) {
  try {
    parse<ContainerCreateRequest>(R"({"HostConfig":{"RestartPolicy":{"MaximumRetryCount":"x"}}})");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "invalid JSON: HostConfig.RestartPolicy.MaximumRetryCount: expected an integer");
  }
}

TEST(ContainerTypes, UnsetHostConfigPrintsTheDocumentedZeros) {
  const json::object printed = to_json(HostConfig{}).get_object();
  for (const char* key :
       {"Binds", "VolumesFrom", "CapAdd", "CapDrop", "Dns", "ExtraHosts", "GroupAdd", "Links", "SecurityOpt",
        "BlkioWeightDevice", "Devices", "DeviceCgroupRules", "DeviceRequests", "MemorySwappiness", "OomKillDisable",
        "PidsLimit", "Ulimits", "MaskedPaths", "ReadonlyPaths"}) {
    ASSERT_TRUE(printed.contains(key)) << key;
    EXPECT_TRUE(printed.at(key).is_null()) << key;
  }
  for (const char* key : {"Annotations", "Mounts", "StorageOpt", "Tmpfs", "Sysctls", "Init"}) {
    EXPECT_FALSE(printed.contains(key)) << key;
  }
  for (const char* key : {"CpuShares", "Memory", "NanoCpus", "ShmSize", "MemorySwap", "CpuCount"}) {
    EXPECT_EQ(printed.at(key), 0) << key;
  }
  EXPECT_EQ(write_json(printed.at("ConsoleSize")), "[0,0]");
  EXPECT_EQ(write_json(printed.at("PortBindings")), "{}");
}

TEST(ContainerTypes, HostConfigKeepsWhatWasSent) {
  const std::string_view sent = R"({"Binds":["/a:/b:ro"],"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},
    "Annotations":{"a":"b"},"CapAdd":["CAP_SYS_ADMIN"],"Dns":[],"Tmpfs":{"/run":"size=64m"},"Sysctls":{"net.core.x":"1"},
    "BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1048576}],"Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/n",
    "CgroupPermissions":"rwm"}],"DeviceRequests":[{"Driver":"","Count":-1,"DeviceIDs":null,"Capabilities":[["gpu"]],
    "Options":{}}],"Ulimits":[{"Name":"nofile","Hard":2048,"Soft":1024}],"Mounts":[{"Type":"tmpfs","Target":"/t",
    "TmpfsOptions":{"SizeBytes":1048576,"Mode":511,"Options":[["noexec"]]}},{"Type":"volume","Source":"v","Target":"/v",
    "VolumeOptions":{"NoCopy":true,"Labels":{"x":"y"},"Subpath":"s","DriverConfig":{"Name":"local","Options":{"o":"p"}}}},
    {"Type":"bind","Source":"/s","Target":"/d","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}],"Init":false})";
  const json::object document = parse_json(sent).get_object();
  const json::object printed = to_json(parse<HostConfig>(sent)).get_object();
  for (const auto& entry : document) EXPECT_EQ(printed.at(entry.key()), entry.value()) << entry.key();
}

TEST(ContainerTypes, StateAndInspectNames) {
  expect_round_trip<ContainerState>(
      R"({"Status":"running","Running":true,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":4711,
      "ExitCode":0,"Error":"","StartedAt":"2026-01-02T03:04:06.1Z","FinishedAt":"0001-01-01T00:00:00Z","Health":{"Status":
      "healthy","FailingStreak":0,"Log":[{"Start":"2026-01-02T03:04:05.1Z","End":"2026-01-02T03:04:05.2Z","ExitCode":0,
      "Output":"ok\n"}]}})");
  const json::object inspect = to_json(ContainerInspect{}).get_object();
  EXPECT_TRUE(inspect.at("ExecIDs").is_null());
  EXPECT_FALSE(inspect.contains("SizeRw"));
  ContainerInspect sized;
  sized.size_rw_bytes = 0;
  sized.size_root_fs_bytes = 0;
  EXPECT_EQ(to_json(sized).get_object().at("SizeRw"), 0);
}

TEST(ContainerTypes, MountPointsAsTheListShowsThem) {
  expect_round_trip<MountPoint>(
      R"({"Type":"volume","Name":"vol","Source":"/x/_data","Destination":"/v","Driver":"local","Mode":"z","RW":true,"Propagation":""})");
  expect_round_trip<MountPoint>(
      R"({"Type":"bind","Source":"/srv","Destination":"/data","Mode":"ro","RW":false,"Propagation":"rprivate"})");
}

TEST(ContainerTypes, NetworkSettingsPorts) {
  const std::string_view ports =
      R"({"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"81/tcp":null}})";
  const json::object printed = to_json(parse<NetworkSettings>(ports)).get_object();
  EXPECT_EQ(printed.at("Ports"), parse_json(ports).get_object().at("Ports"));
}

TEST(ContainerTypes, ListElement) {
  expect_round_trip<ContainerSummary>(
      R"({"Id":"c","Names":["/web"],"Image":"busybox:1","ImageID":"sha256:1","Command":"sh -c 'echo hi'","Created":1767323045,
      "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":81,"Type":"tcp"}],
      "Labels":{},"State":"running","Status":"Up 2 seconds","HostConfig":{"NetworkMode":"bridge"},
      "NetworkSettings":{"Networks":{}},"Mounts":[]})");
}

TEST(ContainerTypes, SmallAnswers) {
  expect_round_trip<WaitResponse>(R"({"StatusCode":0})");
  expect_round_trip<WaitResponse>(R"({"Error":{"Message":"text"},"StatusCode":126})");
  expect_round_trip<ContainerCreateResponse>(R"({"Id":"x","Warnings":[]})");
  expect_round_trip<UpdateResponse>(R"({"Warnings":null})");
  expect_round_trip<ContainersPruneReport>(R"({"ContainersDeleted":null,"SpaceReclaimed":0})");
  expect_round_trip<Change>(R"({"Path":"/etc/x","Kind":1})");
  expect_round_trip<PathStat>(
      R"({"name":"passwd","size":340,"mode":2147484141,"mtime":"2026-01-02T03:04:05Z","linkTarget":""})");
}

TEST(ExecTypes, InspectBeforeAndAfter) {
  expect_round_trip<ExecInspect>(
      R"({"ID":"5f","Running":false,"ExitCode":0,"ProcessConfig":{"tty":false,"entrypoint":"sh","arguments":["-c","id"],
      "privileged":false,"user":"1000"},"OpenStdin":false,"OpenStderr":true,"OpenStdout":true,"CanRemove":false,
      "ContainerID":"c","DetachKeys":"","Pid":4242})");
  const json::object before = to_json(ExecInspect{}).get_object();
  EXPECT_TRUE(before.at("ExitCode").is_null());
  EXPECT_EQ(write_json(before.at("ProcessConfig")),
            R"({"tty":false,"entrypoint":"","arguments":[],"privileged":false})");
}

TEST(ImageTypes, ListInspectHistoryDelete) {
  expect_round_trip<ImageSummary>(
      R"({"Containers":-1,"Created":1767323045,"Id":"sha256:1","Labels":null,"ParentId":"","RepoDigests":[],
      "RepoTags":["busybox:1"],"SharedSize":-1,"Size":1984210})");
  expect_round_trip<HistoryItem>(
      R"({"Comment":"","Created":1767323045,"CreatedBy":"x","Id":"<missing>","Size":0,"Tags":null})");
  expect_round_trip<DeleteItem>(R"({"Untagged":"bb:latest"})");
  expect_round_trip<DeleteItem>(R"({"Deleted":"sha256:1"})");
  expect_round_trip<ImagesPruneReport>(R"({"ImagesDeleted":null,"SpaceReclaimed":123})");
}

TEST(NetworkTypes, InspectAndCreate) {
  expect_round_trip<NetworkInspect>(
      R"({"Name":"bridge","Id":"1","Created":"2026-01-02T03:04:05.8Z","Scope":"local","Driver":"bridge","EnableIPv4":true,
      "EnableIPv6":false,"IPAM":{"Driver":"default","Options":null,"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},
      "Internal":false,"Attachable":false,"Ingress":false,"ConfigFrom":{"Network":""},"ConfigOnly":false,
      "Containers":{"c":{"Name":"web","EndpointID":"e","MacAddress":"02:42:ac:11:00:02","IPv4Address":"172.17.0.2/16",
      "IPv6Address":""}},"Options":{"com.docker.network.driver.mtu":"1500"},"Labels":{}})");
  const auto request = parse<NetworkCreateRequest>(
      R"({"Name":"n","CheckDuplicate":true,"IPAM":{"Config":[{"Subnet":"10.9.0.0/24"}]},"EnableIPv6":false})");
  EXPECT_EQ(request.ipam->config->at(0).subnet, "10.9.0.0/24");
  EXPECT_EQ(request.enable_ipv6, false);
  EXPECT_EQ(request.enable_ipv4, std::nullopt);
}

TEST(NetworkTypes, EndpointSettings) {
  const std::string_view text =
      R"({"IPAMConfig":null,"Links":null,"Aliases":["db"],"MacAddress":"02:42:0a:09:00:07","DriverOpts":null,"GwPriority":0,
      "NetworkID":"n","EndpointID":"e","Gateway":"10.9.0.1","IPAddress":"10.9.0.7","IPPrefixLen":24,"IPv6Gateway":"",
      "GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":["web","db"]})";
  expect_round_trip<EndpointSettings>(text);
}

TEST(EventTypes, ContainerEventHasTheOldKeys) {
  expect_round_trip<Event>(
      R"({"status":"die","id":"c","from":"busybox:1","Type":"container","Action":"die","Actor":{"ID":"c","Attributes":
      {"exitCode":"0"}},"scope":"local","time":1767323045,"timeNano":1767323045123456789})");
}

TEST(ProgressTypes, LinesOfAPull) {
  expect_round_trip<ProgressMessage>(R"({"status":"Pulling fs layer","progressDetail":{},"id":"4a1b"})");
  expect_round_trip<ProgressMessage>(
      R"({"status":"Downloading","progressDetail":{"current":32768,"total":2219949},"progress":"[>   ]","id":"4a1b"})");
  expect_round_trip<ProgressMessage>(R"({"errorDetail":{"code":7,"message":"text"},"error":"text"})");
  expect_round_trip<ProgressMessage>(R"({"stream":"Loaded image: busybox:1\n"})");
  expect_round_trip<ProgressMessage>(R"({"progressDetail":{},"aux":{"Tag":"1","Size":528}})");
}

TEST(SystemTypes, VersionAndAuth) {
  expect_round_trip<Version>(
      R"({"Platform":{"Name":"mydocker"},"Components":[{"Name":"Engine","Version":"28.5.0","Details":{"ApiVersion":"1.51"}}],
      "Version":"28.5.0","ApiVersion":"1.51","MinAPIVersion":"1.24","GitCommit":"0","GoVersion":"none","Os":"linux",
      "Arch":"amd64","KernelVersion":"6.1.0","BuildTime":"2026-01-02T03:04:05.000000000+00:00"})");
  expect_round_trip<AuthResponse>(R"({"Status":"Login Succeeded","IdentityToken":""})");
  expect_round_trip<VolumeList>(R"({"Volumes":[],"Warnings":null})");
  expect_round_trip<Volume>(
      R"({"CreatedAt":"2026-01-02T03:04:05Z","Driver":"local","Labels":null,"Mountpoint":"/x","Name":"v","Options":null,"Scope":"local"})");
}

TEST(StatsTypes, CountersBeyondADoubleStayExact) {
  const auto stats = parse<Stats>(R"({"pids_stats":{"current":1,"limit":18446744073709551615},
    "cpu_stats":{"cpu_usage":{"total_usage":9007199254740993}}})");
  EXPECT_EQ(stats.pids.limit, 18446744073709551615U);
  EXPECT_NE(write_json(to_json(stats)).find("\"total_usage\":9007199254740993"), std::string::npos);
  EXPECT_NE(write_json(to_json(stats)).find("18446744073709551615"), std::string::npos);
}

}  // namespace
}  // namespace mydocker::api
