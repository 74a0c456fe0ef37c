#include "engine/log_tag.h"

#include <map>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

constexpr std::size_t short_id = 12;

using Field = std::string (*)(const ContainerRecord&);

std::string without_algorithm(const std::string& id) { return id.substr(id.find(':') + 1); }

const std::map<std::string, Field>& known_fields() {
  static const std::map<std::string, Field> fields = {
      {".ID", [](const ContainerRecord& record) { return record.id.substr(0, short_id); }},
      {".FullID", [](const ContainerRecord& record) { return record.id; }},
      {".Name", [](const ContainerRecord& record) { return record.name; }},
      {".ImageID",
       [](const ContainerRecord& record) { return without_algorithm(record.image_id).substr(0, short_id); }},
      {".ImageFullID", [](const ContainerRecord& record) { return record.image_id; }},
      {".ImageName", [](const ContainerRecord& record) { return record.config.image; }},
      {".DaemonName", [](const ContainerRecord&) { return std::string("docker"); }},
      {".Hostname", [](const ContainerRecord& record) { return record.config.hostname; }},
      {".Command", [](const ContainerRecord& record) {
         std::string text = record.path;
         for (const std::string& word : record.args) text += " " + word;
         return text;
       }}};
  return fields;
}

std::string trim(std::string text) {
  const std::size_t begin = text.find_first_not_of(" -");
  const std::size_t end = text.find_last_not_of(" -");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

/// Calls `use` for each piece: plain text with nullptr, or a field.
template <typename Use>
void walk(const std::string& text, Use use) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = text.find("{{", at);
    use(text.substr(at, open - at), nullptr);
    if (open == std::string::npos) return;
    const std::size_t close = text.find("}}", open);
    const std::string name = close == std::string::npos ? "" : trim(text.substr(open + 2, close - open - 2));
    const auto field = known_fields().find(name);
    if (field == known_fields().end()) {
      throw Error(ErrorKind::invalid_argument, concat("invalid log opt tag \"", text, "\": only {{.ID}}, {{.FullID}}, ",
                                                      "{{.Name}}, {{.ImageID}}, {{.ImageFullID}}, {{.ImageName}}, ",
                                                      "{{.DaemonName}}, {{.Hostname}} and {{.Command}} are known"));
    }
    use(std::string(), field->second);
    at = close + 2;
  }
}

}  // namespace

void check_log_tag(const std::string& text) {
  walk(text, [](const std::string&, Field) {});
}

std::string make_log_tag(const std::string& text, const ContainerRecord& record) {
  std::string out;
  walk(text, [&](const std::string& plain, Field field) { out += field != nullptr ? field(record) : plain; });
  return out;
}

}  // namespace mydocker::engine
