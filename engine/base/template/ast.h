#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/template/template.h"

/// The syntax tree of a template; private to the template engine.
namespace mydocker::text_template {

struct Node;
using NodePtr = std::unique_ptr<Node>;

enum class NodeKind {
  text,      ///< text
  action,    ///< children[0] = pipeline
  pipeline,  ///< variables (declared or assigned), children = commands
  command,   ///< children = operands
  field,     ///< path: .A.B
  chain,     ///< children[0] = operand, path: (pipe).A.B
  variable,  ///< text = "$x", path
  dot,
  nil,
  constant,    ///< value: bool, number or string
  identifier,  ///< text = function name
  if_,         ///< children: pipeline, list, else list (may be null)
  range,
  with,
  list,       ///< children
  template_,  ///< value = name; children[0] = pipeline or null
  break_,
  continue_,
};

struct Node {
  NodeKind kind = NodeKind::text;
  std::size_t position = 0;  ///< byte offset in the source
  std::string text;
  std::vector<std::string> path;
  std::vector<std::string> variables;
  bool declares = false;  ///< pipeline: `:=` and not `=`
  json::value value;
  std::vector<NodePtr> children;
};

struct TemplateTree {
  TemplateOptions options;
  std::string source;
  NodePtr root;
  std::map<std::string, NodePtr, std::less<>> defined;
};

/// The source form that Go prints between < and > in an execution error.
std::string node_text(const Node& node);

/// Throws Error{invalid_argument}.
void parse_template(TemplateTree& tree);

}  // namespace mydocker::text_template
