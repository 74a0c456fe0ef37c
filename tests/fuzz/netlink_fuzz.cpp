// Netlink: a message that the builder makes reads back as exactly what was put in, whatever the lengths (a length of 16
// bits that wraps would let a payload forge the attributes after it); any bytes can be read. Names in the nftables text
// never become syntax.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/netlink.h"
#include "network/rules.h"

namespace {

using namespace mydocker;
using namespace mydocker::network;

using Bytes = std::span<const std::uint8_t>;

/// Every byte that the walkers show lies inside.
void walk(Bytes bytes, int depth) {
  for_each_attribute(bytes, [&](std::uint16_t, Bytes payload) {
    if (payload.data() < bytes.data() || payload.data() + payload.size() > bytes.data() + bytes.size()) std::abort();
    read_u32(payload);
    read_text(payload);
    if (depth > 0) walk(payload, depth - 1);
  });
}

/// Lengths come from the input: near the limit as often as not.
void build(Bytes data) {
  NetlinkMessage message(7, 0, "fuzz");
  std::vector<std::pair<std::uint16_t, std::size_t>> put;
  try {
    for (std::size_t i = 0; i + 3 <= data.size() && i < 12; i += 3) {
      const auto type = static_cast<std::uint16_t>(data[i] & 0x3f);
      const std::size_t length = (data[i + 1] % 2 == 0 ? 65500U : 0U) + data[i + 2];
      const std::vector<std::uint8_t> payload(length, data[i + 2]);
      if (data[i + 1] % 4 < 2) {
        message.attribute(type, payload);
        put.emplace_back(type, length);
      } else {
        message.begin(type).attribute(1, payload).end();
        put.emplace_back(type, (length + 3) / 4 * 4 + 4);
      }
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument) std::abort();
    return;
  }
  std::size_t messages = 0;
  std::size_t at = 0;
  for_each_message(message.finish(1), [&](const nlmsghdr& header, Bytes payload) {
    ++messages;
    if (header.nlmsg_type != 7) std::abort();
    for_each_attribute(payload, [&](std::uint16_t type, Bytes value) {
      if (at >= put.size() || put[at] != std::pair(type, value.size())) std::abort();
      ++at;
    });
  });
  if (messages != 1 || at != put.size()) std::abort();
}

std::string without_names(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (!quoted) out += c;
  }
  return out;
}

RuleSet make_rules(const std::string& name) {
  RuleSet rules;
  rules.bridges = {{name, {{0xac110001}, 16}}};
  rules.endpoints = {{name, {0xac110002}, {{"tcp", {0}, 80, {0xac110002}, 80}}}};
  rules.no_transit = {name};
  return rules;
}

void name_interfaces(Bytes data) {
  const std::string name(reinterpret_cast<const char*>(data.data()), std::min<std::size_t>(data.size(), 20));
  static const RuleSet plain = make_rules("eth0");
  static const std::string expected = without_names(make_inet_text(plain) + make_bridge_text(plain));
  try {
    const RuleSet rules = make_rules(name);
    if (without_names(make_inet_text(rules) + make_bridge_text(rules)) != expected) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::invalid_argument) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  for_each_message(bytes, [&](const nlmsghdr&, Bytes payload) {
    if (payload.data() + payload.size() > data + size) std::abort();
    walk(payload, 3);
  });
  walk(bytes, 3);
  build(bytes);
  name_interfaces(bytes);
  return 0;
}
