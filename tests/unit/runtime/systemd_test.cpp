#include "runtime/systemd.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/cgroup.h"
#include "runtime/dbus.h"
#include "tests/support/requirements.h"

/// Names, properties and messages of the systemd cgroup driver. The driver itself is tested in the guest, where systemd
/// runs (contrib/vm/cgroup-tests).
namespace mydocker::runtime {
namespace {

TEST(ScopeName, ThreePartsMakeASliceAndAUnit) {
  const std::optional<ScopeName> name = parse_scope_name("machine.slice:libpod:abc");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->slice, "machine.slice");
  EXPECT_EQ(name->unit, "libpod-abc.scope");
  EXPECT_EQ(name->path(), "/machine.slice/libpod-abc.scope");
}

TEST(ScopeName, DefaultsAndNestedSlices) {
  EXPECT_EQ(parse_scope_name("::abc")->path(), "/system.slice/abc.scope");
  EXPECT_EQ(parse_scope_name("a-b-c.slice:p:x")->path(), "/a.slice/a-b.slice/a-b-c.slice/p-x.scope");
  EXPECT_EQ(parse_scope_name("-.slice:p:x")->path(), "/p-x.scope");
}

TEST(ScopeName, PathsAreForCgroupfs) { EXPECT_FALSE(parse_scope_name("/mydocker/a:b:c")); }

TEST(ScopeName, WhatIsNeitherIsRefused) {
  EXPECT_THROW_ERROR(parse_scope_name("abc"), ErrorKind::invalid_argument, "slice:prefix:name");
  EXPECT_THROW_ERROR(parse_scope_name("system.slice:a"), ErrorKind::invalid_argument, "slice:prefix:name");
  EXPECT_THROW_ERROR(parse_scope_name("../x.slice:a:b"), ErrorKind::invalid_argument, "not the name of a slice");
  EXPECT_THROW_ERROR(parse_scope_name("a--b.slice:a:b"), ErrorKind::invalid_argument, "not the name of a slice");
  EXPECT_THROW_ERROR(parse_scope_name("system.slice:a:b/../../c"), ErrorKind::invalid_argument, "cannot be the name");
  EXPECT_THROW_ERROR(parse_scope_name("system.slice:a:"), ErrorKind::invalid_argument, "cannot be the name");
}

/// "Name=value" of every property, for tables.
std::vector<std::string> describe(const std::vector<UnitProperty>& properties) {
  std::vector<std::string> out;
  for (const UnitProperty& property : properties) {
    std::string text = property.name + "=";
    if (const auto* word = std::get_if<std::string>(&property.value)) text += *word;
    if (const auto* number = std::get_if<std::uint64_t>(&property.value)) {
      text += *number == UINT64_MAX ? "infinity" : std::to_string(*number);
    }
    if (const auto* mask = std::get_if<std::vector<std::uint8_t>>(&property.value)) {
      for (const std::uint8_t byte : *mask) text += concat("[", static_cast<int>(byte), "]");
    }
    if (const auto* devices = std::get_if<UnitProperty::DeviceList>(&property.value)) {
      for (const auto& [device, access] : *devices) text += concat(device, " ", access, ";");
    }
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<std::string> properties_of(std::string_view resources, bool v2) {
  return describe(scope_properties(from_json<Resources>(parse_json(resources)), v2));
}

using Lines = std::vector<std::string>;

TEST(ScopeProperties, V2Limits) {
  EXPECT_EQ(properties_of(R"({"memory":{"limit":100,"swap":150,"reservation":50},"pids":{"limit":7}})", true),
            (Lines{"MemoryMax=100", "MemoryLow=50", "MemorySwapMax=50", "TasksMax=7"}));
  EXPECT_EQ(properties_of(R"({"memory":{"limit":-1,"swap":-1},"pids":{"limit":0}})", true),
            (Lines{"MemoryMax=infinity", "MemorySwapMax=infinity", "TasksMax=infinity"}));
  EXPECT_EQ(properties_of(R"({"cpu":{"shares":1024,"quota":33300,"period":100000,"cpus":"0-2,9","mems":"0"}})", true),
            (Lines{"CPUWeight=100", "CPUQuotaPerSecUSec=333000", "CPUQuotaPeriodUSec=100000", "AllowedCPUs=[7][2]",
                   "AllowedMemoryNodes=[1]"}));
  EXPECT_EQ(properties_of(R"({"blockIO":{"weight":1000}})", true), Lines{"IOWeight=10000"});
  EXPECT_EQ(properties_of(R"({"unified":{"memory.high":"5","memory.low":"max","cpu.idle":"1"}})", true),
            (Lines{"MemoryHigh=5", "MemoryLow=infinity"}));
}

TEST(ScopeProperties, V1Limits) {
  EXPECT_EQ(properties_of(R"({"memory":{"limit":100,"swap":150},"cpu":{"shares":512,"cpus":"0"},
                              "blockIO":{"weight":500}})",
                          false),
            (Lines{"MemoryLimit=100", "CPUShares=512", "BlockIOWeight=500"}));
}

TEST(ScopeProperties, Devices) {
  EXPECT_EQ(properties_of(R"({"devices":[{"allow":false},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"},
                              {"allow":true,"type":"c","major":136},{"allow":true,"type":"b","access":"m"}]})",
                          true),
            (Lines{"DevicePolicy=strict", "DeviceAllow=/dev/char/1:3 rw;char-136 rwm;block-* m;"}));
  EXPECT_EQ(properties_of(R"({"devices":[{"allow":false},{"allow":true}]})", true),
            (Lines{"DevicePolicy=auto", "DeviceAllow="}));
}

TEST(ScopeProperties, ABadCpuListIsRefused) {
  for (const char* list : {"x", "3-1", "1-", "0,,x", "99999999", "-1"}) {
    Resources resources;
    resources.cpu = Cpu{};
    resources.cpu->cpus = list;
    EXPECT_THROW_ERROR(scope_properties(resources, true), ErrorKind::invalid_argument, "cpus: bad list");
  }
}

TEST(Dbus, ValuesAreAlignedAsTheSpecificationSays) {
  DbusWriter writer;
  writer.put_string("ab");
  writer.put_array("(sv)", [&] {
    writer.put_struct([&] {
      writer.put_string("n");
      writer.put_variant("t", [&] { writer.put_uint64(5); });
    });
  });
  writer.put_bool(true);
  EXPECT_EQ(writer.signature(), "sa(sv)b");
  const std::string expected(
      "\2\0\0\0ab\0\0"     // string, padded to 4
      "\30\0\0\0\0\0\0\0"  // array of 24 bytes from the next multiple of 8
      "\1\0\0\0n\0"        // struct: string
      "\1t\0"              // variant: its signature
      "\0\0\0\0\0\0\0"     // padded to 8
      "\5\0\0\0\0\0\0\0"   // t
      "\1\0\0\0",          // boolean
      8 + 8 + 6 + 3 + 7 + 8 + 4);
  EXPECT_EQ(writer.bytes(), expected);
  DbusReader reader(writer.bytes());
  EXPECT_EQ(reader.get_string(), "ab");
  EXPECT_EQ(reader.get_uint32(), 24U);
}

/// An error reply of 5 fields, as a bus sends it.
std::string make_error_reply() {
  std::string out("l\3\1\1\7\0\0\0\1\0\0\0", 12);
  const std::string fields(
      "\5\1u\0\2\0\0\0"             // REPLY_SERIAL 2
      "\4\1s\0\5\0\0\0a.b.c\0\0\0"  // ERROR_NAME, padded
      "\10\1g\0\1s\0",              // SIGNATURE
      8 + 16 + 7);
  out += std::string("\37\0\0\0", 4) + fields + std::string(1, '\0') + std::string("\2\0\0\0hi\0", 7);
  return out;
}

TEST(Dbus, AMessageIsTakenApart) {
  const DbusMessage message = parse_dbus_message(make_error_reply());
  EXPECT_EQ(message.type, DbusMessage::Type::error);
  EXPECT_EQ(message.reply_serial, 2U);
  EXPECT_EQ(message.error_name, "a.b.c");
  EXPECT_EQ(message.signature, "s");
  EXPECT_EQ(DbusReader(message.body).get_string(), "hi");
}

TEST(Dbus, DamagedMessagesAreErrorsAndNothingWorse) {
  const std::string good = make_error_reply();
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_THROW_ERROR(parse_dbus_message(good.substr(0, length)), ErrorKind::invalid_argument, "D-Bus");
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char value : {'\0', '\1', '\xff', '\x7f'}) {
      std::string bad = good;
      bad[at] = value;
      try {
        const DbusMessage message = parse_dbus_message(bad);
        (void)DbusReader(message.body).get_string();
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      }
    }
  }
}

TEST(Dbus, NobodyListeningIsSaid) {
  EXPECT_THROW_ERROR(DbusConnection("/nonexistent/socket"), ErrorKind::unavailable, "");
}

}  // namespace
}  // namespace mydocker::runtime
