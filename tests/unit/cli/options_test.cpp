#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/options/mount.h"
#include "cli/options/publish.h"
#include "cli/options/resources.h"
#include "cli/options/settings.h"
#include "cli/options/words.h"
#include "tests/support/temp_tree.h"

namespace mydocker::cli {

using test::TempTree;
namespace {

template <typename Act>
std::string result_of(Act act) {
  try {
    return act();
  } catch (const Error& error) {
    return error.message();
  }
}

std::string publish(std::string_view specification) {
  return result_of([&] {
    api::PortMap bindings;
    api::NameSet exposed;
    add_published(specification, bindings, exposed);
    std::string out;
    for (const auto& [key, list] : bindings) {
      for (const api::PortBinding& binding : *list)
        out += concat(out.empty() ? "" : " ", key, "=", binding.host_ip, ":", binding.host_port);
    }
    return out;
  });
}

std::string checked(void (*check)(std::string_view), std::string_view text) {
  return result_of([&] {
    check(text);
    return std::string("good");
  });
}

TEST(Labels, ANameIsNeeded) {
  for (const char* good : {"a", "a=", "a=b c", " a=b", "a.b/c=d=e"})
    EXPECT_EQ(checked(check_label, good), "good") << good;
  EXPECT_EQ(checked(check_label, "=x"), "invalid label '=x': empty name");
  EXPECT_EQ(checked(check_label, ""), "invalid label '': empty name");
  EXPECT_EQ(checked(check_label, " =x"), "invalid label ' =x': empty name");
  EXPECT_EQ(checked(check_label, "a b=x"), "label 'a b=x' contains whitespaces");
}

TEST(SearchDomains, AreDomains) {
  for (const char* good : {".", "example.org", "example.org.", "a-b.c1", "x"}) {
    EXPECT_EQ(checked(check_search_domain, good), "good") << good;
  }
  for (const char* bad : {"", "a b", "-a.b", "a-.b", "a..b", "1.2", "a_b"}) {
    EXPECT_EQ(checked(check_search_domain, bad), std::string(bad) + " is not a valid domain");
  }
  EXPECT_NE(checked(check_search_domain, std::string(255, 'a')), "good");
}

TEST(Publish, Table) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"80", "80/tcp=:"},
      {"8080:80", "80/tcp=:8080"},
      {"127.0.0.1:8080:80/udp", "80/udp=127.0.0.1:8080"},
      {"[::1]:8080:80", "80/tcp=::1:8080"},
      {"8000-8010:80", "80/tcp=:8000-8010"},
      {"8000-8002:80-82", "80/tcp=:8000 81/tcp=:8001 82/tcp=:8002"},
      {"8000-8001:80-82", "invalid ranges specified for container and host Ports: 80-82 and 8000-8001"},
      {"x", "invalid containerPort: x"},
      {"80:x", "invalid containerPort: x"},
      {"x:80", "invalid hostPort: x"},
      {"70000", "invalid containerPort: 70000"},
      {"99999:1", "invalid hostPort: 99999"},
      {"80/foo", "invalid proto: foo"},
      {"1.2.3:80:80", "invalid IP address: 1.2.3"},
      {"localhost:80:80", "invalid IP address: localhost"},
      {"a:b:c:d", "invalid IP address: a:b"},
      {":80", "80/tcp=:"},
      {"80:", "no port specified: 80:<empty>"},
      {"127.0.0.1::80", "80/tcp=127.0.0.1:"},
      {"80-70", "invalid containerPort: 80-70"},
      {"", "no port specified: <empty>"},
      {"target=80,published=8080,protocol=udp", "80/udp=:8080"},
  };
  for (const auto& [input, expected] : cases) EXPECT_EQ(publish(input), expected) << input;
}

TEST(Expose, Table) {
  const auto expose = [](std::string_view text) {
    return result_of([&] {
      api::NameSet exposed;
      add_exposed(text, exposed);
      std::string out;
      for (const auto& [key, nothing] : exposed) out += key + " ";
      return out;
    });
  };
  EXPECT_EQ(expose("80"), "80/tcp ");
  EXPECT_EQ(expose("80/udp"), "80/udp ");
  EXPECT_EQ(expose("80-82"), "80/tcp 81/tcp 82/tcp ");
  EXPECT_EQ(expose("x"),
            "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax");
  EXPECT_EQ(expose(""), "invalid range format for --expose: , error: empty string specified for ports");
  EXPECT_EQ(expose("80:80"), "invalid port format for --expose: 80:80");
}

TEST(Mount, Table) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"type=bind,src=/tmp,dst=/x", R"({"Type":"bind","Source":"/tmp","Target":"/x"})"},
      {"type=bind,source=/tmp,target=/x,readonly=true,bind-propagation=rslave",
       R"({"Type":"bind","Source":"/tmp","Target":"/x","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}})"},
      {"dst=/x", R"({"Type":"volume","Target":"/x"})"},
      {"type=bind,\"src=/a,b\",dst=/x,ro", R"({"Type":"bind","Source":"/a,b","Target":"/x","ReadOnly":true})"},
      {"type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1777",
       R"({"Type":"tmpfs","Target":"/x","TmpfsOptions":{"SizeBytes":1048576,"Mode":1023}})"},
      {"type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"},
      {"type=tmpfs,dst=/x,tmpfs-size=q", "invalid value for tmpfs-size: q"},
      {"src=/a", "target is required"},
      {"foo=bar,dst=/x", "unexpected key 'foo' in 'foo=bar'"},
      {"dst=/x,foo", "invalid field 'foo' must be a key=value pair"},
      {"type=bind,src=/a,dst=/x,readonly=foo", "invalid value for readonly: foo"},
      {"type=tmpfs,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'tmpfs'"},
      {"type=volume,dst=/x,bind-propagation=rslave", "cannot mix 'bind-*' options with mount type 'volume'"},
      {"type=bind,src=/tmp,dst=/x,bind-recursive=zz",
       "invalid value for bind-recursive: zz (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"},
      {"type=", "type is required"},
      {"", "EOF"},
  };
  for (const auto& [input, expected] : cases) {
    EXPECT_EQ(result_of([&, text = input] { return write_json(to_json(parse_mount(text))); }), expected) << input;
  }
}

TEST(Volume, BindsAndAnonymousVolumes) {
  const auto volume = [](std::string_view text) {
    return result_of([&] {
      std::vector<std::string> binds;
      api::NameSet volumes;
      add_volume(text, binds, volumes);
      return binds.empty() ? "volume " + volumes.begin()->first : "bind " + binds[0];
    });
  };
  EXPECT_EQ(volume("/a:/b"), "bind /a:/b");
  EXPECT_EQ(volume("/a:/b:ro,z"), "bind /a:/b:ro,z");
  EXPECT_EQ(volume("/a"), "volume /a");
  EXPECT_EQ(volume("name:/b"), "bind name:/b");
  EXPECT_EQ(volume(""), "invalid empty volume spec");
  EXPECT_EQ(volume("/a::"), "invalid spec: /a::: empty section between colons");
  EXPECT_EQ(volume(":/b"), "invalid spec: :/b: empty section between colons");
  EXPECT_TRUE(volume("./x:/y").starts_with("bind /"));
  EXPECT_TRUE(volume("./x:/y").ends_with("/x:/y"));
}

TEST(Ulimit, Table) {
  const auto ulimit = [](std::string_view text) {
    return result_of([&] {
      const api::Ulimit limit = parse_ulimit(text);
      return concat(limit.name, " ", limit.soft, " ", limit.hard);
    });
  };
  EXPECT_EQ(ulimit("nofile=1024"), "nofile 1024 1024");
  EXPECT_EQ(ulimit("nofile=1024:2048"), "nofile 1024 2048");
  EXPECT_EQ(ulimit("nofile=-1"), "nofile -1 -1");
  EXPECT_EQ(ulimit("nofile=2048:1024"), "ulimit soft limit must be less than or equal to hard limit: 2048 > 1024");
  EXPECT_EQ(ulimit("foo=1"), "invalid ulimit type: foo");
  EXPECT_EQ(ulimit("nofile"), "invalid ulimit argument: nofile");
  EXPECT_EQ(ulimit("nofile="), "strconv.ParseInt: parsing \"\": invalid syntax");
  EXPECT_EQ(ulimit("nofile=1:2:3"), "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`");
}

TEST(Device, Table) {
  const auto device = [](std::string_view text) {
    return result_of([&] {
      const api::DeviceMapping mapping = parse_device(text);
      return concat(mapping.path_on_host, " ", mapping.path_in_container, " ", mapping.cgroup_permissions);
    });
  };
  EXPECT_EQ(device("/dev/null"), "/dev/null /dev/null rwm");
  EXPECT_EQ(device("/dev/null:/dev/x:r"), "/dev/null /dev/x r");
  EXPECT_EQ(device("/dev/null:rw"), "/dev/null /dev/null rw");
  EXPECT_EQ(device("/dev/null:/dev/x:zz"), "bad mode specified: zz");
  EXPECT_EQ(device("a:b:c:d"), "bad format for path: a:b:c:d");
  EXPECT_EQ(device("/dev/null:rwx:r"), "rwx is not an absolute path");
}

TEST(Cpus, AreExactFractions) {
  EXPECT_EQ(parse_cpus("0.5"), 500000000);
  EXPECT_EQ(parse_cpus(".5"), 500000000);
  EXPECT_EQ(parse_cpus("1e-1"), 100000000);
  EXPECT_EQ(parse_cpus("1/2"), 500000000);
  EXPECT_EQ(parse_cpus("0.000000001"), 1);
  const auto message = [](std::string_view text) {
    return result_of([&] { return std::to_string(parse_cpus(text)); });
  };
  EXPECT_EQ(message("0.0000000001"), "value is too precise");
  EXPECT_EQ(message("x"), "failed to parse x as a rational number");
  EXPECT_EQ(message(""), "failed to parse  as a rational number");
  EXPECT_EQ(message("99999999999999999999999999999999999999999"),
            "failed to parse 99999999999999999999999999999999999999999 as a rational number");
}

TEST(Restart, Table) {
  EXPECT_EQ(parse_restart_policy("on-failure:3"), (api::RestartPolicy{"on-failure", 3}));
  EXPECT_EQ(parse_restart_policy("always"), (api::RestartPolicy{"always", 0}));
  EXPECT_EQ(result_of([] { return parse_restart_policy("on-failure:x").name; }),
            "invalid restart policy format: maximum retry count must be an integer");
  EXPECT_EQ(result_of([] { return parse_restart_policy(":3").name; }),
            "invalid restart policy format: no policy provided before colon");
}

TEST(Throttle, Messages) {
  EXPECT_EQ(parse_throttle_bytes("/dev/sda:1mb").rate, 1048576U);
  EXPECT_EQ(parse_throttle_operations("/dev/sda:10").rate, 10U);
  EXPECT_EQ(result_of([] { return parse_throttle_bytes("/dev/sda").path; }), "bad format: /dev/sda");
  EXPECT_EQ(result_of([] { return parse_weight("sda:1").path; }), "bad format for device path: sda:1");
  EXPECT_EQ(result_of([] { return parse_weight("/dev/sda:5").path; }), "invalid weight for device: /dev/sda:5");
  EXPECT_NO_THROW(check_device_rule("c 1:3 rwm"));
  EXPECT_THROW(check_device_rule("x"), Error);
}

TEST(Environment, FilesAndOurOwnValues) {
  ::setenv("MYDOCKER_TEST_VALUE", "bar", 1);
  ::unsetenv("MYDOCKER_TEST_ABSENT");
  EXPECT_EQ(resolve_environment("A=1=2"), "A=1=2");
  EXPECT_EQ(resolve_environment("MYDOCKER_TEST_VALUE"), "MYDOCKER_TEST_VALUE=bar");
  EXPECT_EQ(resolve_environment("MYDOCKER_TEST_ABSENT"), "MYDOCKER_TEST_ABSENT");
  EXPECT_EQ(result_of([] { return resolve_environment("=x"); }), "invalid environment variable: =x");

  const TempTree tree{{"env", "A=1\n#c\n\n  B=2 \nMYDOCKER_TEST_VALUE\nC=x y\nMYDOCKER_TEST_ABSENT\n"},
                      {"bad", "a b=1\n"},
                      {"labels", "l=1\nm\n"}};
  EXPECT_EQ(read_environment_file(tree.path() + "/env"),
            (std::vector<std::string>{"A=1", "B=2 ", "MYDOCKER_TEST_VALUE=bar", "C=x y"}));
  EXPECT_EQ(read_label_file(tree.path() + "/labels"), (std::vector<std::string>{"l=1", "m"}));
  EXPECT_TRUE(result_of([&] {
                return read_environment_file(tree.path() + "/bad")[0];
              }).ends_with("variable 'a b' contains whitespaces"));
  EXPECT_EQ(result_of([] { return read_environment_file("/no/such")[0]; }), "open /no/such: no such file or directory");
}

TEST(Security, ProfilesAreInlined) {
  const TempTree tree{{"profile.json", "{\"defaultAction\":  \"SCMP_ACT_ALLOW\"}\n"}};
  api::HostConfig host;
  apply_security_options({"no-new-privileges", "seccomp=" + tree.path() + "/profile.json", "apparmor:unconfined",
                          "systempaths=unconfined"},
                         host);
  EXPECT_EQ(*host.security_opt,
            (std::vector<std::string>{"no-new-privileges", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
                                      "apparmor:unconfined"}));
  EXPECT_TRUE(host.masked_paths && host.masked_paths->empty());
  EXPECT_EQ(result_of([&] {
              apply_security_options({"foo"}, host);
              return std::string();
            }),
            "Invalid --security-opt: \"foo\"");
  EXPECT_EQ(result_of([&] {
              apply_security_options({"seccomp=/nope"}, host);
              return std::string();
            }),
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory");
}

TEST(Capabilities, AreNormalized) {
  api::HostConfig host;
  apply_capabilities({"net_admin", "CAP_SYS_ADMIN", "all"}, {"MKNOD", "net_admin"}, host);
  EXPECT_EQ(*host.cap_add, (std::vector<std::string>{"ALL", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"}));
  EXPECT_EQ(*host.cap_drop, std::vector<std::string>{"CAP_MKNOD"});
}

TEST(NetworkOption, Table) {
  EXPECT_EQ(parse_network("bridge").target, "bridge");
  const NetworkOption network = parse_network("name=web,alias=db,ip=1.2.3.4");
  EXPECT_EQ(network.target, "web");
  EXPECT_EQ(network.endpoint.aliases->at(0), "db");
  EXPECT_EQ(network.endpoint.ipam_config->ipv4_address, "1.2.3.4");
  EXPECT_EQ(result_of([] { return parse_network("bridge,alias=y").target; }), "invalid field bridge");
  EXPECT_EQ(parse_extra_host("a=1.2.3.4"), "a:1.2.3.4");
  EXPECT_EQ(parse_extra_host("a:[::1]"), "a:::1");
  EXPECT_EQ(parse_extra_host("a:host-gateway"), "a:host-gateway");
  EXPECT_EQ(result_of([] { return parse_extra_host("a"); }), "bad format for add-host: \"a\"");
  EXPECT_EQ(result_of([] { return parse_extra_host("a:x"); }), "invalid IP address in add-host: \"x\"");
}

TEST(Csv, Quotes) {
  EXPECT_EQ(split_csv("a,\"b,c\",\"d\"\"e\""), (std::vector<std::string>{"a", "b,c", "d\"e"}));
  EXPECT_THROW(split_csv("\"a"), Error);
}

}  // namespace
}  // namespace mydocker::cli
