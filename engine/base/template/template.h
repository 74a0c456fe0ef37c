#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/json.h"

/// Go's text/template over JSON values: what `--format` of the Docker CLI understands.
/// Actions, pipelines, variables, if/else if/else, range/else with break and continue, with, define/template/block,
/// trim markers, comments, the built-in functions of Go and the ones that Docker adds (json, split, join, title, lower,
/// upper, pad, truncate). Truth: pkg.go.dev/text/template.
/// One thread per object; nothing blocks. Depth of nesting and of recursion is bounded, so garbage is an error.
namespace mydocker::text_template {

/// A record whose fields are computed: what `.` is while a list is printed (`{{.Names}}`, `{{.Label "key"}}`).
class TemplateRecord {
 public:
  virtual ~TemplateRecord() = default;
  /// "*formatter.ContainerContext": named in the error about an unknown field.
  virtual std::string_view type_name() const = 0;
  /// nullopt: there is no such field, or it takes other arguments. May throw Error.
  virtual std::optional<json::value> call(std::string_view name, std::span<const json::value> arguments) const = 0;
  /// All fields without arguments, for `{{json .}}`.
  virtual json::value to_json() const = 0;
};

/// What a missing key of a JSON object means.
enum class MissingKey {
  error,  ///< execution fails: map has no entry for key "x"
  empty,  ///< prints as <no value>
};

struct TemplateOptions {
  std::string name;  ///< stands in error messages: "template: NAME:1:2: ..."
  MissingKey missing_key = MissingKey::error;
  /// Named in `can't evaluate field X in type T` for the top level of a JSON value; empty = the map wording.
  std::string root_type;
  /// The header line of a table: functions that change values (json, lower, pad ...) give their argument back.
  bool header = false;
};

struct TemplateTree;

/// A parsed template. Copies share the tree.
class Template {
 public:
  /// Throws Error{invalid_argument} "template: NAME:LINE: unexpected ..." in Go's words.
  static Template parse(std::string_view text, TemplateOptions options = {});

  /// The output for one value. Throws Error{invalid_argument}
  /// "template: NAME:LINE:COLUMN: executing "NAME" at <.Foo>: ..." in Go's words.
  std::string execute(const json::value& data) const;
  std::string execute(const TemplateRecord& data) const;

 private:
  std::shared_ptr<const TemplateTree> tree_;
};

/// How Go's fmt prints a value with %v: map[a:1 b:2], [x y], true, 1e+21.
std::string go_print(const json::value& value);
/// The same for a field of Docker's typed structs: objects print as structs, {running true}, but for the fields that
/// are maps in Go (Labels, Ports ...), and null lists and maps as [] and map[].
std::string go_print_field(const json::value& value, std::string_view field_name);
/// Whether a field of that name is a map in Docker's structs: a key that it has not is no error.
bool is_go_map(std::string_view field_name);
/// Go's encoding/json without indentation; `escape_html` writes <, > and & as \u003c and so on.
std::string go_json(const json::value& value, bool escape_html);
/// Go's strconv.Quote.
std::string go_quote(std::string_view text);

}  // namespace mydocker::text_template
