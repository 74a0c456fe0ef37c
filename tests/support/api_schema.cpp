#include "tests/support/api_schema.h"

#include <fnmatch.h>
#include <algorithm>
#include <map>
#include <regex>
#include <sstream>
#include <tuple>

#include "engine/base/sys.h"
#include "tests/support/programs.h"

namespace mydocker::test {
namespace {

constexpr const char* newest = "1.51";
/// Every endpoint may answer these: the router, the version check, parameters, what is not built, a stopping engine.
constexpr int statuses_of_all[] = {400, 404, 500, 501, 503};

struct Route {
  std::string method;
  std::regex path;
  std::string name;  ///< "GET /containers/{id}/json"
  std::ptrdiff_t placeholders = 0;
  json::object answers;
};

/// One line of schemas/differences.
struct Difference {
  std::string versions;  ///< "all", "<1.44", ">1.47"
  std::string place;     ///< pattern of fnmatch(3)
  std::string kind;      ///< null, unknown, missing, type, enum, status
};

class Schema {
 public:
  explicit Schema(const std::string& version) {
    const json::value document = parse_json(read_file(build_directory() + "/tests/schemas/" + version + ".json"));
    definitions_ = document.at("definitions").as_object();
    for (const auto& entry : document.at("responses").as_object()) {
      const std::string name(entry.key());
      const std::size_t blank = name.find(' ');
      std::string pattern = name.substr(blank + 1);
      const auto placeholders = std::count(pattern.begin(), pattern.end(), '{');
      // Image names have slashes of their own.
      pattern = std::regex_replace(pattern, std::regex("\\{id\\}"), "[^/]+");
      pattern = std::regex_replace(pattern, std::regex("\\{name\\}"), ".+");
      routes_.push_back({name.substr(0, blank), std::regex(pattern), name, placeholders, entry.value().as_object()});
    }
    // Fixed paths are tried first: /containers/json is no container.
    std::sort(routes_.begin(), routes_.end(), [](const Route& a, const Route& b) {
      return std::tie(a.placeholders, a.name) < std::tie(b.placeholders, b.name);
    });
  }

  const Route* find(std::string_view method, const std::string& path) const {
    for (const Route& route : routes_) {
      if (route.method == method && std::regex_match(path, route.path)) return &route;
    }
    return nullptr;
  }
  const json::object& definition(std::string_view name) const { return definitions_.at(name).as_object(); }

  static const Schema& get(const std::string& version) {
    static const std::map<std::string, Schema> all = [] {
      std::map<std::string, Schema> out;
      for (const char* each : {"1.47", "1.51"}) out.emplace(each, Schema(each));
      return out;
    }();
    return all.at(version);
  }

 private:
  json::object definitions_;
  std::vector<Route> routes_;
};

/// "1.47" as 147: minor versions have two digits.
int number_of(std::string_view version) {
  return version.size() < 4 ? 0 : std::stoi(std::string(version.substr(0, 1)) + std::string(version.substr(2, 2)));
}

const std::vector<Difference>& differences() {
  static const std::vector<Difference> all = [] {
    std::vector<Difference> out;
    std::istringstream lines(read_file(build_directory() + "/tests/schemas/differences"));
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;
      const std::size_t dash = line.find(" -- ");
      const std::size_t kind = line.find(' ') + 1;
      const std::size_t place = line.find(' ', kind) + 1;
      if (dash == std::string::npos || place == 0 || place > dash) {
        throw Error(ErrorKind::internal, concat("schemas/differences: not VERSIONS KIND PLACE -- why: ", line));
      }
      out.push_back({.versions = line.substr(0, kind - 1),
                     .place = line.substr(place, dash - place),
                     .kind = line.substr(kind, place - 1 - kind)});
    }
    return out;
  }();
  return all;
}

bool covers(const std::string& versions, int asked) {
  if (versions == "all") return true;
  const int bound = number_of(std::string_view(versions).substr(1));
  return versions[0] == '<' ? asked < bound : asked > bound;
}

/// Walks one value; places are named from the nearest definition on: "HostConfig.Binds", "ContainerSummary.Ports[].IP".
class Walk {
 public:
  Walk(const Schema& schema, int asked) : schema_(schema), asked_(asked) {}

  void value(const json::value& value, const json::object& schema, const std::string& place) {
    if (schema.contains("ref")) {
      const std::string name(schema.at("ref").as_string());
      if (value.is_null()) {
        if (!schema.contains("nullable")) null(schema_.definition(name), place);
      } else {
        this->value(value, schema_.definition(name), name);
      }
      return;
    }
    if (value.is_null()) {
      if (!schema.contains("nullable")) null(schema, place);
      return;
    }
    if (!schema.contains("type")) return;
    const std::string_view type = schema.at("type").as_string();
    if (type == "object") return object(value, schema, place);
    if (type == "array") return array(value, schema, place);
    scalar(value, schema, type, place);
  }

  void problem(const std::string& kind, const std::string& place, const std::string& detail) {
    const auto& known = differences();
    const bool recorded = std::any_of(known.begin(), known.end(), [&](const Difference& difference) {
      return difference.kind == kind && covers(difference.versions, asked_) &&
             ::fnmatch(difference.place.c_str(), place.c_str(), 0) == 0;
    });
    if (!recorded) problems_.push_back(concat(kind, " ", place, ": ", detail));
  }
  std::vector<std::string> take() { return std::move(problems_); }

 private:
  void null(const json::object& schema, const std::string& place) {
    if (schema.contains("nullable") || !schema.contains("type")) return;
    problem("null", place, concat("is null, not ", std::string(schema.at("type").as_string())));
  }

  void object(const json::value& value, const json::object& schema, const std::string& place) {
    if (!value.is_object()) return problem("type", place, "is not an object: " + write_json(value));
    const json::object* properties = schema.contains("properties") ? &schema.at("properties").as_object() : nullptr;
    const json::object* values = schema.contains("values") ? &schema.at("values").as_object() : nullptr;
    for (const auto& entry : value.get_object()) {
      if (properties != nullptr && properties->contains(entry.key())) {
        this->value(entry.value(), properties->at(entry.key()).as_object(), concat(place, ".", entry.key()));
      } else if (values != nullptr) {
        this->value(entry.value(), *values, place + ".*");
      } else if (properties != nullptr) {
        problem("unknown", concat(place, ".", entry.key()), "stands in no definition: " + write_json(entry.value()));
      }
    }
    if (!schema.contains("required")) return;
    for (const json::value& name : schema.at("required").as_array()) {
      if (!value.get_object().contains(name.as_string())) problem("missing", concat(place, ".", name.as_string()), "");
    }
  }

  void array(const json::value& value, const json::object& schema, const std::string& place) {
    if (!value.is_array()) return problem("type", place, "is not an array: " + write_json(value));
    if (!schema.contains("items")) return;
    for (const json::value& item : value.get_array()) {
      this->value(item, schema.at("items").as_object(), place + "[]");
    }
  }

  void scalar(const json::value& value, const json::object& schema, std::string_view type, const std::string& place) {
    const bool integer = value.is_int64() || value.is_uint64();
    const bool right = (type == "string" && value.is_string()) || (type == "boolean" && value.is_bool()) ||
                       (type == "integer" && integer) || (type == "number" && value.is_number());
    if (!right) return problem("type", place, concat("is not ", type, ": ", write_json(value)));
    if (!schema.contains("enum")) return;
    const json::array& allowed = schema.at("enum").as_array();
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
      problem("enum", place, "is none of the enumerated: " + write_json(value));
    }
  }

  const Schema& schema_;
  int asked_;
  std::vector<std::string> problems_;
};

std::string path_of(std::string_view target) {
  std::string path(target.substr(0, target.find('?')));
  return version_of(target).empty() ? path : path.substr(path.find('/', 1));
}

bool is_json(std::string_view content_type) { return content_type == "application/json"; }

}  // namespace

std::string version_of(std::string_view target) {
  if (!target.starts_with("/v1.")) return {};
  const std::size_t end = target.find('/', 1);
  return end == std::string_view::npos ? std::string() : std::string(target.substr(2, end - 2));
}

BodyForm body_form(std::string_view method, std::string_view target) {
  const Route* route = Schema::get(newest).find(method, path_of(target));
  if (route == nullptr) return BodyForm::other;
  for (const char* streamed : {"GET /events", "GET /containers/{id}/stats", "POST /images/create", "POST /images/load",
                               "POST /images/{name}/push", "POST /build"}) {
    if (route->name == streamed) return BodyForm::sequence;
  }
  for (const char* code : {"200", "201"}) {
    const json::value* answer = route->answers.if_contains(code);
    if (answer == nullptr || answer->as_object().empty()) continue;
    const json::value* type = answer->as_object().if_contains("type");
    return type != nullptr && type->as_string() == "string" ? BodyForm::other : BodyForm::document;
  }
  return BodyForm::other;
}

std::vector<std::string> judge_response(const JudgedResponse& response, const std::string& version) {
  const Schema& schema = Schema::get(version);
  const std::string asked = version_of(response.target);
  const Route* route = schema.find(response.method, path_of(response.target));
  if (route == nullptr) return {};
  Walk walk(schema, number_of(asked.empty() ? newest : asked));
  const std::string code = std::to_string(response.status);
  const json::value* answer = route->answers.if_contains(code);
  const bool of_all =
      std::find(std::begin(statuses_of_all), std::end(statuses_of_all), response.status) != std::end(statuses_of_all);
  if (answer == nullptr && !of_all) walk.problem("status", concat(route->name, " ", code), "is not declared");

  // An error is said in JSON, but for the connections that are hijacked.
  static const json::object error{{"ref", "ErrorResponse"}};
  const json::object* expected = response.status >= 400 ? &error : answer != nullptr ? &answer->as_object() : nullptr;
  if (expected != nullptr && !expected->empty() && response.status >= 200) {
    const json::value* type = expected->if_contains("type");
    const bool text = type != nullptr && type->as_string() == "string";
    if (!text && !is_json(response.content_type)) {
      walk.problem("type", route->name + " " + code, concat("has the content type ", response.content_type));
    } else if (!text) {
      try {
        walk.value(parse_json(response.body), *expected, route->name);
      } catch (const Error& broken) {
        walk.problem("type", route->name + " " + code, concat(broken.message(), ": ", response.body.substr(0, 200)));
      }
    }
  }
  std::vector<std::string> problems = walk.take();
  for (std::string& problem : problems) {
    problem =
        concat("by the definition of ", version, ", ", response.method, " ", response.target, " ", code, ": ", problem);
  }
  return problems;
}

std::vector<std::string> judge_response(const JudgedResponse& response) {
  const std::string asked = version_of(response.target);
  const int number = asked.empty() ? number_of(newest) : number_of(asked);
  std::vector<std::string> problems;
  if (asked.empty() || number <= number_of("1.47")) problems = judge_response(response, "1.47");
  if (asked.empty() || number > number_of("1.47")) {
    std::vector<std::string> more = judge_response(response, newest);
    problems.insert(problems.end(), more.begin(), more.end());
  }
  return problems;
}

}  // namespace mydocker::test
