#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/json.h"

/// Responses of the Engine API against its definition. The facts are tests/support/schemas/VERSION.json (made by
/// contrib/make-api-schemas), and schemas/differences says where Docker itself differs from its definition and what
/// other versions do differently. Any thread; the first use reads the files, throwing Error as read_file() does.
namespace mydocker::test {

/// A request as it was sent and what came back. `body` is one JSON document, for a stream one message of it.
struct JudgedResponse {
  std::string_view method;
  std::string_view target;  ///< with version prefix and query
  int status = 0;
  std::string_view content_type;
  std::string_view body;
};

/// What is wrong with it by the definition of `schema` ("1.47" or "1.51"), one line each: an undeclared status, a wrong
/// type, a missing or unknown key, a value outside its enumeration, null where null must not be. Empty for what is no
/// JSON by definition, for paths that the definition does not have, and for what schemas/differences knows.
std::vector<std::string> judge_response(const JudgedResponse& response, const std::string& schema);

/// The same for every schema that the request's version asks for: its own and, without a version prefix, both.
std::vector<std::string> judge_response(const JudgedResponse& response);

/// Is the body one JSON document, a sequence of them, or something else, by the definition of 1.51?
enum class BodyForm { document, sequence, other };
BodyForm body_form(std::string_view method, std::string_view target);

/// "1.47" of "/v1.47/info"; empty without a prefix.
std::string version_of(std::string_view target);

}  // namespace mydocker::test
