// --format templates: a text prints something or gives one clear error.

#include <cstdint>
#include <cstdlib>

#include "engine/base/error.h"
#include "engine/base/template/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mydocker;
  static const json::value document = parse_json(
      R"({"State":{"Pid":42,"Running":true},"Names":["a","b"],"Labels":{"k":"v"},"Empty":null,"Number":1.5})");
  try {
    text_template::Template::parse(std::string_view(reinterpret_cast<const char*>(data), size)).execute(document);
  } catch (const Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
