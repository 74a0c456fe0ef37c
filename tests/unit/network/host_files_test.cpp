#include "network/host_files.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker::network {
namespace {

TEST(HostsFile, HasLocalhostThenExtraThenOwn) {
  EXPECT_EQ(make_hosts_file({{"10.0.0.9", {"db"}}}, {{"172.17.0.2", {"web.example.org", "web"}}}),
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::\tip6-localnet\n"
            "ff00::\tip6-mcastprefix\n"
            "ff02::1\tip6-allnodes\n"
            "ff02::2\tip6-allrouters\n"
            "10.0.0.9\tdb\n"
            "172.17.0.2\tweb.example.org web\n");
  EXPECT_EQ(make_hosts_file({}, {}, false), "127.0.0.1\tlocalhost\n");
}

TEST(HostsFile, RefusesNamesThatForgeALine) {
  for (const char* bad : {"a b", "a\n6.6.6.6 bank", "", "a\tb", "a#b", "\x7f"}) {
    EXPECT_THROW_ERROR(make_hosts_file({{"10.0.0.9", {bad}}}, {}), ErrorKind::invalid_argument, "invalid host name");
  }
  EXPECT_THROW_ERROR(make_hosts_file({{"10.0.0.9\n", {"a"}}}, {}), ErrorKind::invalid_argument, "invalid IP address");
}

TEST(HostsFile, ALinksAddressIsReplacedAndNothingElse) {
  const std::string text =
      "127.0.0.1\tlocalhost\n10.0.0.9\tdb dbserver # mine\n10.0.0.9\tother db\n# 10.0.0.9 db\n\n  10.0.0.9   db\nend";
  EXPECT_EQ(
      replace_host_address(text, "db", "10.0.0.10"),
      "127.0.0.1\tlocalhost\n10.0.0.10\tdb dbserver # mine\n10.0.0.9\tother db\n# 10.0.0.9 db\n\n10.0.0.10   db\nend");
  EXPECT_EQ(replace_host_address(text, "absent", "10.0.0.10"), text);
  EXPECT_EQ(replace_host_address(text, "db", "10.0.0.9"), text);
  EXPECT_EQ(replace_host_address("", "db", "10.0.0.10"), "");
  EXPECT_THROW_ERROR(replace_host_address(text, "db", "x y"), ErrorKind::invalid_argument, "invalid IP address");
}

TEST(ExtraHost, TakesBothSeparatorsAndTheGateway) {
  EXPECT_EQ(parse_extra_host("db:10.0.0.9", "").address, "10.0.0.9");
  EXPECT_EQ(parse_extra_host("db=10.0.0.9", "").names.front(), "db");
  EXPECT_EQ(parse_extra_host("db:fd00::1", "").address, "fd00::1");
  EXPECT_EQ(parse_extra_host("db=[fd00::1]", "").address, "fd00::1");
  EXPECT_EQ(parse_extra_host("h:host-gateway", "172.17.0.1").address, "172.17.0.1");
  EXPECT_THROW_ERROR(parse_extra_host("a", ""), ErrorKind::invalid_argument, "bad format for add-host: \"a\"");
  EXPECT_THROW_ERROR(parse_extra_host(":1.2.3.4", ""), ErrorKind::invalid_argument, "bad format for add-host");
  EXPECT_THROW_ERROR(parse_extra_host("a:1.2.3", ""), ErrorKind::invalid_argument, "invalid IP address in add-host");
  EXPECT_THROW_ERROR(parse_extra_host("a:host-gateway", ""), ErrorKind::invalid_argument, "host-gateway");
}

TEST(HostNames, PutTheFullNameFirst) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(make_host_names("web", ""), Names{"web"});
  EXPECT_EQ(make_host_names("web", "example.org"), (Names{"web.example.org", "web"}));
  EXPECT_EQ(make_host_names("web.example.org", ""), (Names{"web.example.org", "web"}));
}

TEST(HostnameFile, RefusesWhatTheKernelWouldNotTake) {
  EXPECT_EQ(make_hostname_file("web"), "web\n");
  EXPECT_THROW_ERROR(make_hostname_file(std::string(65, 'a')), ErrorKind::invalid_argument, "invalid hostname");
  EXPECT_THROW_ERROR(make_hostname_file("a\nb"), ErrorKind::invalid_argument, "invalid hostname");
}

TEST(ResolvConf, CopiesTheHostsWithoutLoopbackServers) {
  const char* host =
      "# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver ::1\n"
      "domain old.example\nsearch a.example b.example ; two\noptions edns0 trust-ad\nnonsense here\n";
  EXPECT_EQ(make_resolv_conf(host, {}), "nameserver 10.0.0.53\nsearch a.example b.example\noptions edns0 trust-ad\n");
  EXPECT_EQ(make_resolv_conf("nameserver 127.0.0.1\n", {}), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  EXPECT_EQ(make_resolv_conf("", {}), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  ResolvConfOptions host_network;
  host_network.own_namespace = false;
  EXPECT_EQ(make_resolv_conf("nameserver 127.0.0.53\n", host_network), "nameserver 127.0.0.53\n");
}

TEST(ResolvConf, RequestReplacesTheHostsValues) {
  ResolvConfOptions options;
  options.dns = {"127.0.0.1", "fe80::1%eth0"};
  options.search = {"c.example"};
  options.options = {"ndots:3"};
  EXPECT_EQ(make_resolv_conf("nameserver 1.1.1.1\nsearch a\noptions b\n", options),
            "nameserver 127.0.0.1\nnameserver fe80::1%eth0\nsearch c.example\noptions ndots:3\n");
  options = {};
  options.search = {"."};
  EXPECT_EQ(make_resolv_conf("nameserver 1.1.1.1\nsearch a.example\n", options), "nameserver 1.1.1.1\n");
}

TEST(ResolvConf, RefusesWhatForgesALine) {
  ResolvConfOptions options;
  options.dns = {"1.1.1.1\nnameserver 6.6.6.6"};
  EXPECT_THROW_ERROR(make_resolv_conf("", options), ErrorKind::invalid_argument, "invalid IP address in dns");
  options.dns = {"fe80::1%a\nb"};
  EXPECT_THROW_ERROR(make_resolv_conf("", options), ErrorKind::invalid_argument, "invalid dns server");
  options.dns = {};
  options.options = {"a b"};
  EXPECT_THROW_ERROR(make_resolv_conf("", options), ErrorKind::invalid_argument, "invalid dns option");
}

}  // namespace
}  // namespace mydocker::network
