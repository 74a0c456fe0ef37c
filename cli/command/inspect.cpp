#include <array>
#include <optional>

#include "cli/command.h"
#include "cli/json_indent.h"
#include "cli/options/words.h"
#include "cli/terminal.h"
#include "engine/base/template/template.h"

namespace mydocker::cli {
namespace {

using text_template::Template;

using enum FlagKind;

/// A kind of object that can be inspected, in the order in which `inspect` without --type looks.
struct ObjectKind {
  std::string_view name;
  std::string_view before;  ///< the path around the object's name
  std::string_view after;
  bool supports_size = false;
};

constexpr ObjectKind kinds[] = {
    {"container", "/containers/", "/json", true},
    {"image", "/images/", "/json"},
    {"network", "/networks/", ""},
    {"volume", "/volumes/", ""},
};
constexpr std::array<std::string_view, 9> known_types = {"config", "container", "image",   "network", "node",
                                                         "plugin", "secret",    "service", "task"};

std::string fetch(Session& session, const ObjectKind& kind, const std::string& name, bool size) {
  if (trim(name).empty()) {
    throw Error(ErrorKind::invalid_argument, concat("invalid ", kind.name, " name or ID: value is empty"));
  }
  ApiCall call{.path = concat(kind.before, path_part(name), kind.after)};
  if (size && kind.supports_size) call.query.emplace_back("size", "1");
  return session.api().call(call);
}

std::string find_any(Session& session, const std::string& name, bool size) {
  for (const ObjectKind& kind : kinds) {
    try {
      return fetch(session, kind, name, size);
    } catch (const ApiError& error) {
      // 400: what can be no image's name may be something else's.
      if (error.status() != 404 && !(error.status() == 400 && kind.name == "image")) throw;
    }
  }
  throw Error(ErrorKind::not_found, concat("Error: No such object: ", name));
}

/// Collects what --format makes of each object, or the JSON list of all.
class InspectPrinter {
 public:
  explicit InspectPrinter(const std::string& format) {
    if (format.empty()) return;
    if (format == "json") {
      compact_ = true;
      return;
    }
    try {
      template_ = Template::parse(format);
    } catch (Error& error) {
      error.add_context("template parsing error");
      throw;
    }
  }

  void add(const std::string& body) {
    ++count_;
    if (!template_) {
      out_ += concat(count_ > 1 ? "," : "", trim(body));
      return;
    }
    try {
      out_ += template_->execute(parse_json(body)) + "\n";
    } catch (Error& error) {
      if (error.kind() == ErrorKind::invalid_argument) error.add_context("template parsing error");
      throw;
    }
  }

  std::string render() const {
    if (template_) return out_.empty() ? "\n" : out_;
    if (compact_) return concat("[", out_, "]\n");
    return indent_json(concat("[", out_, "]"), "    ") + "\n";
  }

 private:
  std::optional<Template> template_;
  bool compact_ = false;
  std::string out_;
  std::size_t count_ = 0;
};

int inspect_each(const Arguments& arguments, const std::function<std::string(const std::string&)>& get) {
  InspectPrinter printer(arguments.text("format"));
  std::string errors;
  for (const std::string& name : arguments.positionals) {
    try {
      printer.add(get(name));
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unavailable) throw;
      errors += concat(errors.empty() ? "" : "\n", error.message());
    }
  }
  print(printer.render());
  if (!errors.empty()) throw CommandFailure(1, errors);
  return 0;
}

constexpr Flag inspect_flags[] = {
    {"format", 'f', single, "string", "Format output: 'json' or a Go template"},
    {"size", 's', boolean, "", "Display total file sizes if the type is container"},
    {"type", 0, single, "string", "Only inspect objects of the given type"},
};

int inspect(Session& session, const Arguments& arguments) {
  const std::string type = arguments.text("type");
  const bool size = arguments.enabled("size");
  if (type.empty()) {
    if (arguments.has("type"))
      throw CommandFailure(1,
                           "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", "
                           "\"plugin\", \"secret\", \"service\", \"task\", \"volume\"");
    return inspect_each(arguments, [&](const std::string& name) { return find_any(session, name, size); });
  }
  for (const ObjectKind& kind : kinds) {
    if (kind.name == type) {
      return inspect_each(arguments, [&](const std::string& name) { return fetch(session, kind, name, size); });
    }
  }
  for (const std::string_view known : known_types) {
    if (known == type)
      throw CommandFailure(
          1, concat("inspecting objects of type ", type, " is not implemented: they belong to Swarm or plugins"));
  }
  throw CommandFailure(1, concat("unknown type: \"", type,
                                 "\": must be one of \"config\", \"container\", \"image\", \"network\", \"node\", "
                                 "\"plugin\", \"secret\", \"service\", \"task\", \"volume\""));
}

template <int Index>
int inspect_kind(Session& session, const Arguments& arguments) {
  const bool size = arguments.enabled("size");
  return inspect_each(arguments, [&](const std::string& name) { return fetch(session, kinds[Index], name, size); });
}

constexpr Flag kind_flags[] = {
    {"format", 'f', single, "string", "Format output: 'json' or a Go template"},
    {"size", 's', boolean, "", "Display total file sizes"},
    {"platform", 0, single, "string", "Inspect a platform variant", nullptr, true},
    {"verbose", 'v', boolean, "", "Verbose output for diagnostics", nullptr, true},
};

constexpr Command commands[] = {
    {.name = "inspect",
     .usage = "[OPTIONS] NAME|ID [NAME|ID...]",
     .summary = "Return low-level information on objects",
     .least_arguments = 1,
     .flags = inspect_flags,
     .run = inspect},
    {.name = "container inspect",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Display detailed information on one or more containers",
     .least_arguments = 1,
     .flags = kind_flags,
     .run = inspect_kind<0>},
    {.name = "image inspect",
     .usage = "[OPTIONS] IMAGE [IMAGE...]",
     .summary = "Display detailed information on one or more images",
     .least_arguments = 1,
     .flags = kind_flags,
     .run = inspect_kind<1>},
    {.name = "network inspect",
     .usage = "[OPTIONS] NETWORK [NETWORK...]",
     .summary = "Display detailed information on one or more networks",
     .least_arguments = 1,
     .flags = kind_flags,
     .run = inspect_kind<2>},
    {.name = "volume inspect",
     .usage = "[OPTIONS] VOLUME [VOLUME...]",
     .summary = "Display detailed information on one or more volumes",
     .least_arguments = 1,
     .flags = kind_flags,
     .run = inspect_kind<3>},
};

}  // namespace

std::span<const Command> inspect_commands() { return commands; }

}  // namespace mydocker::cli
