#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

#include "engine/base/template/template.h"

namespace mydocker::text_template {
namespace {

// Go's strconv.FormatFloat(value, 'g', -1, 64) as %v uses it: exponents below -4 and from 21 on.
std::string print_float(double value, int exponent_limit) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == 0) return std::signbit(value) ? "-0" : "0";
  const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  const bool scientific = exponent < -4 || exponent >= exponent_limit;
  char buffer[400];
  const auto [end, failure] = std::to_chars(buffer, buffer + sizeof buffer, value,
                                            scientific ? std::chars_format::scientific : std::chars_format::fixed);
  return failure == std::errc{} ? std::string(buffer, end) : "0";
}

// Nested values print nil as <nil>; so does the top level here: JSON null stands for Go's nil pointer.
void append_printed(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      out += "<nil>";
      break;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      break;
    case json::kind::int64:
      out += std::to_string(value.get_int64());
      break;
    case json::kind::uint64:
      out += std::to_string(value.get_uint64());
      break;
    case json::kind::double_:
      out += print_float(value.get_double(), 21);
      break;
    case json::kind::string:
      out += std::string_view(value.get_string());
      break;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const json::value& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ' ';
        append_printed(out, item);
      }
      out += ']';
      break;
    }
    case json::kind::object: {
      std::vector<std::string_view> keys;
      for (const auto& entry : value.get_object()) keys.emplace_back(entry.key());
      std::sort(keys.begin(), keys.end());
      out += "map[";
      for (std::size_t index = 0; index < keys.size(); ++index) {
        if (index > 0) out += ' ';
        out += keys[index];
        out += ':';
        append_printed(out, value.get_object().at(keys[index]));
      }
      out += ']';
      break;
    }
  }
}

enum class FieldShape { plain, list, map };

FieldShape shape_of(std::string_view field) {
  static constexpr std::string_view maps[] = {
      "Annotations", "Attributes",   "AuxiliaryAddresses", "Containers", "Data",     "Details",
      "DriverOpts",  "ExposedPorts", "IndexConfigs",       "Labels",     "Networks", "Options",
      "Ports",       "PortBindings", "Runtimes",           "StorageOpt", "Sysctls",  "Tmpfs",
      "Volumes"};
  static constexpr std::string_view lists[] = {"Aliases",
                                               "Args",
                                               "Binds",
                                               "BlkioDeviceReadBps",
                                               "BlkioDeviceReadIOps",
                                               "BlkioDeviceWriteBps",
                                               "BlkioDeviceWriteIOps",
                                               "BlkioWeightDevice",
                                               "CapAdd",
                                               "CapDrop",
                                               "Cmd",
                                               "DNSNames",
                                               "DeviceCgroupRules",
                                               "DeviceRequests",
                                               "Devices",
                                               "Dns",
                                               "DnsOptions",
                                               "DnsSearch",
                                               "Entrypoint",
                                               "Env",
                                               "ExecIDs",
                                               "ExtraHosts",
                                               "GroupAdd",
                                               "Layers",
                                               "Links",
                                               "MaskedPaths",
                                               "Mounts",
                                               "OnBuild",
                                               "ReadonlyPaths",
                                               "RepoDigests",
                                               "RepoTags",
                                               "SecurityOpt",
                                               "Shell",
                                               "Ulimits",
                                               "VolumesFrom",
                                               "Warnings"};
  if (std::find(std::begin(maps), std::end(maps), field) != std::end(maps)) return FieldShape::map;
  return std::find(std::begin(lists), std::end(lists), field) != std::end(lists) ? FieldShape::list : FieldShape::plain;
}

void append_field(std::string& out, const json::value& value, FieldShape shape) {
  if (value.is_null() && shape != FieldShape::plain) {
    out += shape == FieldShape::list ? "[]" : "map[]";
  } else if (value.is_array()) {
    out += '[';
    bool first = true;
    for (const json::value& item : value.get_array()) {
      if (!std::exchange(first, false)) out += ' ';
      append_field(out, item, FieldShape::plain);
    }
    out += ']';
  } else if (value.is_object() && shape == FieldShape::map) {
    std::vector<std::string_view> keys;
    for (const auto& entry : value.get_object()) keys.emplace_back(entry.key());
    std::sort(keys.begin(), keys.end());
    out += "map[";
    for (std::size_t index = 0; index < keys.size(); ++index) {
      out += concat(index > 0 ? " " : "", keys[index], ":");
      append_field(out, value.get_object().at(keys[index]), FieldShape::plain);
    }
    out += ']';
  } else if (value.is_object()) {
    out += '{';
    bool first = true;
    for (const auto& entry : value.get_object()) {
      if (!std::exchange(first, false)) out += ' ';
      append_field(out, entry.value(), shape_of(entry.key()));
    }
    out += '}';
  } else {
    append_printed(out, value);
  }
}

/// Characters that a backslash and one letter stand for, each before its letter.
constexpr std::string_view json_escapes = "\"\"\\\\\bb\ff\nn\rr\tt";
constexpr std::string_view go_escapes = "\"\"\\\\\aa\bb\ff\nn\rr\tt\vv";

bool append_short_escape(std::string& out, char c, std::string_view escapes) {
  for (std::size_t i = 0; i < escapes.size(); i += 2) {
    if (escapes[i] != c) continue;
    out += '\\';
    out += escapes[i + 1];
    return true;
  }
  return false;
}

void append_json_string(std::string& out, std::string_view raw, bool escape_html) {
  const std::string text = to_valid_utf8(raw);
  out += '"';
  for (std::size_t index = 0; index < text.size(); ++index) {
    const char c = text[index];
    const bool html = escape_html && (c == '<' || c == '>' || c == '&');
    const std::string_view separator = std::string_view(text).substr(index, 3);
    if (append_short_escape(out, c, json_escapes)) continue;
    if (html || (c >= 0 && c < ' ')) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
      out += buffer;
    } else if (separator == "\u2028" || separator == "\u2029") {
      out += separator == "\u2028" ? "\\u2028" : "\\u2029";
      index += 2;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json(std::string& out, const json::value& value, bool escape_html) {
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      break;
    case json::kind::string:
      append_json_string(out, value.get_string(), escape_html);
      break;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const json::value& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ',';
        append_json(out, item, escape_html);
      }
      out += ']';
      break;
    }
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& entry : value.get_object()) {
        if (!std::exchange(first, false)) out += ',';
        append_json_string(out, entry.key(), escape_html);
        out += ':';
        append_json(out, entry.value(), escape_html);
      }
      out += '}';
      break;
    }
    case json::kind::double_:
      out += print_float(value.get_double(), 21);
      break;
    default:
      append_printed(out, value);
  }
}

}  // namespace

std::string go_print(const json::value& value) {
  std::string out;
  append_printed(out, value);
  return out;
}

bool is_go_map(std::string_view field_name) { return shape_of(field_name) == FieldShape::map; }

std::string go_print_field(const json::value& value, std::string_view field_name) {
  std::string out;
  append_field(out, value, shape_of(field_name));
  return out;
}

std::string go_json(const json::value& value, bool escape_html) {
  std::string out;
  append_json(out, value, escape_html);
  return out;
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (append_short_escape(out, c, go_escapes)) continue;
    if ((c >= 0 && c < ' ') || c == 0x7f) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace mydocker::text_template
