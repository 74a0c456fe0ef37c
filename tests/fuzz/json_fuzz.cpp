// parse_json and the field tables: any bytes give a value or Error{invalid_argument}, and what is written reads back.

#include <cstdint>
#include <cstdlib>

#include "engine/base/json.h"

namespace {

struct Document {
  std::string text;
  std::int64_t number = 0;
  std::vector<Document> list;
  std::map<std::string, std::string> labels;
  std::optional<bool> flag;

  static constexpr auto json_fields() {
    using mydocker::field;
    return std::tuple(field("a", &Document::text), field("b", &Document::number), field("c", &Document::list),
                      field("d", &Document::labels), field("e", &Document::flag));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const mydocker::json::value value = mydocker::parse_json(input);
    const Document document = mydocker::from_json<Document>(value);
    const std::string once = mydocker::write_json(mydocker::to_json(document));
    const std::string twice =
        mydocker::write_json(mydocker::to_json(mydocker::from_json<Document>(mydocker::parse_json(once))));
    if (once != twice) std::abort();
  } catch (const mydocker::Error& error) {
    if (error.kind() != mydocker::ErrorKind::invalid_argument) std::abort();
  }
  return 0;
}
