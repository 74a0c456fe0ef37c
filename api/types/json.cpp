#include "api/types/json.h"

namespace mydocker {

void JsonCodec<Timestamp>::read(const json::value& value, const std::string& path, Timestamp& out) {
  if (!value.is_string()) json_detail::throw_expected(path, "a time (RFC 3339)");
  const std::string text(value.get_string());
  if (text.empty() || text.starts_with("0001-01-01T00:00:00")) {
    out = Timestamp{};
    return;
  }
  const std::optional<Timestamp> time = parse_rfc3339(text);
  if (!time) json_detail::throw_expected(path, "a time (RFC 3339)");
  out = *time;
}

json::value JsonCodec<Timestamp>::write(const Timestamp& value) { return json::value(to_rfc3339(value)); }

void JsonCodec<api::CommandLine>::read(const json::value& value, const std::string& path, api::CommandLine& out) {
  out.clear();
  if (value.is_string()) {
    out.emplace_back(value.get_string());
    return;
  }
  std::vector<std::string> words;
  read_json(value, path, words);
  out = api::CommandLine(std::move(words));
}

json::value JsonCodec<api::CommandLine>::write(const api::CommandLine& value) {
  json::array out;
  out.reserve(value.size());
  for (const std::string& word : value) out.push_back(json::value(word));
  return out;
}

void JsonCodec<api::ConsoleSize>::read(const json::value& value, const std::string& path, api::ConsoleSize& out) {
  std::vector<std::uint16_t> numbers;
  read_json(value, path, numbers);
  // As Go fills a [2]uint: missing elements are 0, further ones are dropped.
  out.height = numbers.empty() ? std::uint16_t{0} : numbers[0];
  out.width = numbers.size() < 2 ? std::uint16_t{0} : numbers[1];
}

json::value JsonCodec<api::ConsoleSize>::write(const api::ConsoleSize& value) {
  return json::array{value.height, value.width};
}

}  // namespace mydocker
