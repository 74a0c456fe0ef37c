#include "cli/command/lists.h"

#include <algorithm>
#include <map>

#include "cli/options/words.h"

namespace mydocker::cli {
namespace {

struct Range {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};

std::string range_text(Range range) {
  return range.first == range.last ? std::to_string(range.first) : concat(range.first, "-", range.last);
}

std::string group_text(const std::string& key, Range range) {
  const std::size_t slash = key.find('/');
  const std::string protocol = slash == std::string::npos ? key : key.substr(slash + 1);
  const std::string inside = range_text(range);
  if (slash == std::string::npos) return concat(inside, "/", protocol);
  std::string address = key.substr(0, slash);
  if (address.find(':') != std::string::npos) address = concat("[", address, "]");
  return concat(address, ":", inside, "->", inside, "/", protocol);
}

}  // namespace

std::string ports_text(std::vector<api::Port> ports) {
  std::sort(ports.begin(), ports.end(), [](const api::Port& a, const api::Port& b) {
    if (a.private_port != b.private_port) return a.private_port < b.private_port;
    if (a.ip != b.ip) return a.ip < b.ip;
    if (a.public_port != b.public_port) return a.public_port < b.public_port;
    return a.type < b.type;
  });
  std::vector<std::string> out;
  std::vector<std::string> mapped;
  std::map<std::string, Range> open;
  std::vector<std::string> order;
  for (const api::Port& port : ports) {
    std::string key = port.type;
    if (!port.ip.empty()) {
      if (port.public_port != port.private_port) {
        const std::string address = port.ip.find(':') != std::string::npos ? concat("[", port.ip, "]") : port.ip;
        mapped.push_back(concat(address, ":", port.public_port, "->", port.private_port, "/", port.type));
        continue;
      }
      key = concat(port.ip, "/", port.type);
    }
    Range& range = open[key];
    if (range.first == 0) {
      range = {port.private_port, port.private_port};
      order.push_back(key);
    } else if (port.private_port == range.last + 1) {
      range.last = port.private_port;
    } else if (port.private_port != range.last) {
      out.push_back(group_text(key, range));
      range = {port.private_port, port.private_port};
    }
  }
  for (const std::string& key : order) out.push_back(group_text(key, open[key]));
  out.insert(out.end(), mapped.begin(), mapped.end());
  return join(out, ", ");
}

std::string labels_text(const api::StringMap& labels) {
  std::string out;
  for (const auto& [name, value] : labels) out += concat(out.empty() ? "" : ",", name, "=", value);
  return out;
}

}  // namespace mydocker::cli
