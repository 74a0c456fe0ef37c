#pragma once

#include <boost/json/value.hpp>
#include <span>
#include <string>
#include <string_view>

/// The functions that templates may call, but and/or (evaluated lazily by the executor). Private to the engine.
namespace mydocker::text_template {

namespace json = boost::json;

bool is_template_function(std::string_view name);

/// What went wrong, without place: the executor adds it.
struct FunctionError {
  std::string message;
};

/// Throws FunctionError. `header`: functions that change a value's look give it back unchanged.
json::value call_template_function(std::string_view name, std::span<const json::value> arguments, bool header);

/// Go's truth: false, 0, "", null and empty lists and maps are false.
bool is_true(const json::value& value);

}  // namespace mydocker::text_template
