#include "cli/command.h"

#include "cli/options/words.h"
#include "cli/terminal.h"

namespace mydocker::cli {

int for_each_name(const std::vector<std::string>& names,
                  const std::function<std::optional<std::string>(const std::string&)>& act) {
  int code = 0;
  for (const std::string& name : names) {
    try {
      if (const auto text = act(name)) print(concat(*text, "\n"));
    } catch (const ApiError& error) {
      print_error(concat(error.message(), "\n"));
      code = 1;
    }
  }
  return code;
}

std::string make_filters(const std::vector<std::string>& filters) {
  if (filters.empty()) return {};
  json::object out;
  for (const std::string& filter : filters) {
    if (filter.empty()) continue;
    const std::size_t equals = filter.find('=');
    const std::string key = to_lower(trim(filter.substr(0, equals)));
    const std::string value(trim(filter.substr(equals + 1)));
    json::value& values = out[key];
    if (!values.is_object()) values.emplace_object();
    values.get_object()[value] = true;
  }
  return out.empty() ? std::string() : write_json(out);
}

}  // namespace mydocker::cli
