#include "engine/log_tag.h"

#include <unistd.h>

#include <array>
#include <map>

#include "engine/base/error.h"
#include "engine/base/template/template.h"

namespace mydocker::engine {
namespace {

constexpr std::size_t short_id = 12;

std::string without_algorithm(const std::string& id) { return id.substr(id.find(':') + 1); }

std::string command_of(const ContainerRecord& record) {
  std::string text = record.path;
  for (const std::string& word : record.args) text += " " + word;
  return text;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

template <typename Map>
json::value to_map(const Map& map) {
  json::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

/// The names that a template may use: those of moby's logger.Info, fields and methods.
class LogInfo final : public text_template::TemplateRecord {
 public:
  LogInfo(const ContainerRecord& record, const api::StringMap& attributes) : record_(record), attributes_(attributes) {}

  std::string_view type_name() const override { return "*logger.Info"; }

  std::optional<json::value> call(std::string_view name, std::span<const json::value> arguments) const override {
    if (name == "ExtraAttributes") {
      if (arguments.size() != 1) return std::nullopt;
      return to_map(attributes_);
    }
    if (!arguments.empty()) return std::nullopt;
    const auto found = fields().find(name);
    if (found == fields().end()) return std::nullopt;
    return found->second(record_);
  }

  json::value to_json() const override {
    json::object out;
    for (const auto& [name, get] : fields()) out[name] = get(record_);
    return out;
  }

 private:
  using Get = json::value (*)(const ContainerRecord&);

  static const std::map<std::string_view, Get>& fields() {
    using Record = const ContainerRecord&;
    static const std::map<std::string_view, Get> fields = {
        {"ID", [](Record record) { return json::value(record.id.substr(0, short_id)); }},
        {"FullID", [](Record record) { return json::value(record.id); }},
        {"Name", [](Record record) { return json::value(record.name); }},
        {"ImageID", [](Record record) { return json::value(without_algorithm(record.image_id).substr(0, short_id)); }},
        {"ImageFullID", [](Record record) { return json::value(record.image_id); }},
        {"ImageName", [](Record record) { return json::value(record.config.image); }},
        {"Command", [](Record record) { return json::value(command_of(record)); }},
        {"DaemonName", [](Record) { return json::value("docker"); }},
        {"Hostname", [](Record) { return json::value(host_name()); }},
        {"Config", [](Record record) { return to_map(record.host_config.log_config.config); }},
        {"ContainerID", [](Record record) { return json::value(record.id); }},
        {"ContainerName", [](Record record) { return json::value("/" + record.name); }},
        {"ContainerEntrypoint", [](Record record) { return json::value(record.path); }},
        {"ContainerArgs",
         [](Record record) { return json::value(json::array(record.args.begin(), record.args.end())); }},
        {"ContainerImageID", [](Record record) { return json::value(record.image_id); }},
        {"ContainerImageName", [](Record record) { return json::value(record.config.image); }},
        {"ContainerEnv",
         [](Record record) {
           const api::StringList env = record.config.env.value_or(api::StringList{});
           return json::value(json::array(env.begin(), env.end()));
         }},
        {"ContainerLabels", [](Record record) { return to_map(record.config.labels); }}};
    return fields;
  }

  const ContainerRecord& record_;
  const api::StringMap& attributes_;
};

/// A label or variable that is not there prints as nothing of note, and fails no start.
text_template::Template parse_tag(const std::string& text) {
  return text_template::Template::parse(text, {.name = "log-tag", .missing_key = text_template::MissingKey::empty});
}

}  // namespace

void check_log_tag(const std::string& text) {
  try {
    parse_tag(text);
    make_log_tag(text, {}, {});
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, concat("invalid log opt tag \"", text, "\": ", error.message()));
  }
}

std::string make_log_tag(const std::string& text, const ContainerRecord& record, const api::StringMap& attributes) {
  return parse_tag(text).execute(LogInfo(record, attributes));
}

}  // namespace mydocker::engine
