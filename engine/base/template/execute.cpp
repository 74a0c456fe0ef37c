#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/template/ast.h"
#include "engine/base/template/functions.h"

namespace mydocker::text_template {
namespace {

constexpr int max_depth = 200;
constexpr std::size_t max_output_bytes = std::size_t{64} << 20;

/// A value while a template runs: JSON that someone else keeps alive, or a record. Neither: no value.
struct Value {
  const json::value* data = nullptr;
  const TemplateRecord* record = nullptr;
  std::string_view key = {};  ///< the field that it was read from: tells how Go would print it
  bool absent = false;        ///< no value, since a map has no such key: so have what would be fields of it
};

// What Go's typed structs have where the API leaves a field out that is empty. nullopt: they have no such field.
std::optional<json::value> zero_of_left_out(const json::object& object, std::string_view key) {
  static constexpr std::string_view pointers[] = {
      "Annotations", "Aliases",       "DeviceInfos",  "DriverStatus", "Entrypoint", "GwPriority", "Health",
      "Healthcheck", "Init",          "Manifests",    "Mounts",       "OnBuild",    "Platform",   "Shell",
      "SizeRootFs",  "SizeRw",        "StopTimeout",  "StorageOpt",   "Sysctls",    "Tmpfs",      "VolumesFrom",
      "Warnings",    "Variant",       "ExposedPorts", "Descriptor",   "Options",    "Labels",     "UsageData",
      "Status",      "ClusterVolume", "Isolation",    "ConsoleSize"};
  static constexpr std::string_view texts[] = {"MacAddress", "StopSignal"};
  static constexpr std::string_view texts_of_mount[] = {"Driver", "Mode", "Name", "Propagation", "Source", "Type"};
  const auto in = [&](const auto& keys) { return std::find(std::begin(keys), std::end(keys), key) != std::end(keys); };
  if (in(texts) || (object.contains("Destination") && in(texts_of_mount))) return json::value("");
  if (key == "NetworkDisabled") return json::value(false);
  return in(pointers) ? std::optional<json::value>(nullptr) : std::nullopt;
}

enum class Flow { normal, break_, continue_ };

class Executor {
 public:
  Executor(const TemplateTree& tree, Value root) : tree_(tree), root_(root) { variables_.emplace_back("$", root); }

  std::string run() {
    execute(*tree_.root, root_);
    return std::move(out_);
  }

 private:
  const TemplateTree& tree_;
  Value root_;
  std::string out_;
  std::deque<json::value> arena_;
  std::vector<std::pair<std::string, Value>> variables_;
  int depth_ = 0;

  [[noreturn]] void fail(const Node& node, const std::string& message) const {
    const std::string_view before = std::string_view(tree_.source).substr(0, node.position);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n');
    const std::size_t column = line_start == std::string_view::npos ? before.size() : before.size() - line_start - 1;
    const std::string& name = tree_.options.name;
    throw Error(ErrorKind::invalid_argument, concat("template: ", name, ":", line, ":", column, ": executing ",
                                                    go_quote(name), " at <", node_text(node), ">: ", message));
  }

  Value keep(json::value value) {
    arena_.push_back(std::move(value));
    return Value{&arena_.back(), nullptr};
  }

  struct Depth {
    Depth(Executor& executor, const Node& node) : executor_(executor) {
      if (++executor_.depth_ > max_depth) executor_.fail(node, "exceeded maximum template depth");
    }
    ~Depth() { --executor_.depth_; }
    Executor& executor_;
  };

  void write(const Node& node, std::string_view text) {
    if (out_.size() + text.size() > max_output_bytes) fail(node, "output is too long");
    out_ += text;
  }

  // --- statements ---
  Flow execute(const Node& node, Value dot) {
    switch (node.kind) {
      case NodeKind::text:
        write(node, node.text);
        return Flow::normal;
      case NodeKind::list:
        for (const NodePtr& child : node.children) {
          if (const Flow flow = execute(*child, dot); flow != Flow::normal) return flow;
        }
        return Flow::normal;
      case NodeKind::action: {
        const Value value = evaluate_pipeline(*node.children[0], dot);
        if (node.children[0]->variables.empty()) print(node, value);
        return Flow::normal;
      }
      case NodeKind::if_:
      case NodeKind::with:
        return execute_branch(node, dot);
      case NodeKind::range:
        return execute_range(node, dot);
      case NodeKind::template_:
        execute_template(node, dot);
        return Flow::normal;
      case NodeKind::break_:
        return Flow::break_;
      case NodeKind::continue_:
        return Flow::continue_;
      default:
        fail(node, "unexpected node");
    }
  }

  void print(const Node& node, Value value) {
    if (value.record != nullptr) {
      write(node, go_print(value.record->to_json()));
    } else {
      write(node, value.data == nullptr ? "<no value>" : go_print_field(*value.data, value.key));
    }
  }

  bool truth(Value value) const { return value.record != nullptr || (value.data != nullptr && is_true(*value.data)); }

  Flow execute_branch(const Node& node, Value dot) {
    const Depth depth(*this, node);
    const std::size_t scope = variables_.size();
    const Value value = evaluate_pipeline(*node.children[0], dot);
    Flow flow = Flow::normal;
    if (truth(value)) {
      flow = execute(*node.children[1], node.kind == NodeKind::with ? value : dot);
    } else if (node.children[2]) {
      flow = execute(*node.children[2], dot);
    }
    variables_.resize(scope);
    return flow;
  }

  Flow execute_range(const Node& node, Value dot) {
    const Depth depth(*this, node);
    const std::size_t scope = variables_.size();
    const Node& pipe = *node.children[0];
    const Value list = evaluate_commands(pipe, dot);
    const std::size_t element_scope = variables_.size();
    bool any = false;
    Flow flow = Flow::normal;
    const auto one = [&](Value key, Value element) {
      any = true;
      bind_range(pipe, key, element);
      flow = execute(*node.children[1], element);
      variables_.resize(element_scope);
      return flow != Flow::break_;
    };
    if (list.data == nullptr) {
      if (list.record != nullptr) fail(node, "range can't iterate over {}");
    } else if (list.data->is_array()) {
      std::int64_t index = 0;
      for (const json::value& item : list.data->get_array()) {
        if (!one(keep(index++), Value{&item, nullptr})) break;
      }
    } else if (list.data->is_object()) {
      std::vector<std::string_view> keys;
      for (const auto& entry : list.data->get_object()) keys.emplace_back(entry.key());
      std::sort(keys.begin(), keys.end());
      for (const std::string_view key : keys) {
        if (!one(keep(json::value(key)), Value{&list.data->get_object().at(key), nullptr})) break;
      }
    } else if (list.data->is_int64()) {
      for (std::int64_t index = 0; index < list.data->get_int64(); ++index) {
        const Value value = keep(index);
        if (arena_.size() > (std::size_t{1} << 22)) fail(node, "range is too long");
        if (!one(value, value)) break;
      }
    } else if (!list.data->is_null()) {
      fail(node, concat("range can't iterate over ", go_print(*list.data)));
    }
    if (!any && node.children[2])
      flow = execute(*node.children[2], dot);
    else
      flow = Flow::normal;
    variables_.resize(scope);
    return flow;
  }

  void bind_range(const Node& pipe, Value key, Value element) {
    if (pipe.variables.empty()) return;
    const Value first = pipe.variables.size() == 2 ? key : element;
    set_variable(pipe.variables[0], first, pipe.declares);
    if (pipe.variables.size() == 2) set_variable(pipe.variables[1], element, pipe.declares);
  }

  void set_variable(const std::string& name, Value value, bool declares) {
    if (!declares) {
      for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable) {
        if (variable->first == name) {
          variable->second = value;
          return;
        }
      }
    }
    variables_.emplace_back(name, value);
  }

  void execute_template(const Node& node, Value dot) {
    const Depth depth(*this, node);
    const auto found = tree_.defined.find(node.text);
    if (found == tree_.defined.end()) fail(node, concat("template ", go_quote(node.text), " not defined"));
    const Value value = node.children[0] ? evaluate_pipeline(*node.children[0], dot) : Value{};
    std::vector<std::pair<std::string, Value>> outer{{"$", value}};
    outer.swap(variables_);
    execute(*found->second, value);
    variables_.swap(outer);
  }

  // --- expressions ---
  Value evaluate_pipeline(const Node& pipe, Value dot) {
    const Value value = evaluate_commands(pipe, dot);
    for (const std::string& name : pipe.variables) set_variable(name, value, pipe.declares);
    return value;
  }

  Value evaluate_commands(const Node& pipe, Value dot) {
    const Depth depth(*this, pipe);
    std::optional<Value> value;
    for (const NodePtr& command : pipe.children) value = evaluate_command(*command, dot, value);
    return value.value_or(Value{});
  }

  Value evaluate_command(const Node& command, Value dot, std::optional<Value> last) {
    const Node& first = *command.children[0];
    switch (first.kind) {
      case NodeKind::identifier:
        return call_function(first, command, dot, last);
      case NodeKind::field:
        return walk(first, dot, first.path, arguments_of(command, dot, last));
      case NodeKind::variable:
      case NodeKind::chain: {
        const Value start = first.kind == NodeKind::variable ? find_variable(first) : evaluate(*first.children[0], dot);
        if (first.path.empty()) break;
        return walk(first, start, first.path, arguments_of(command, dot, last));
      }
      default:
        break;
    }
    if (first.kind == NodeKind::nil) fail(first, "nil is not a command");
    if (command.children.size() > 1 || last)
      fail(first, concat("can't give argument to non-function ", node_text(first)));
    return evaluate(first, dot);
  }

  std::vector<Value> arguments_of(const Node& command, Value dot, std::optional<Value> last) {
    std::vector<Value> arguments;
    for (std::size_t index = 1; index < command.children.size(); ++index) {
      arguments.push_back(evaluate(*command.children[index], dot));
    }
    if (last) arguments.push_back(*last);
    return arguments;
  }

  Value find_variable(const Node& node) const {
    for (auto variable = variables_.rbegin(); variable != variables_.rend(); ++variable) {
      if (variable->first == node.text) return variable->second;
    }
    fail(node, concat("undefined variable: ", node.text));
  }

  Value evaluate(const Node& node, Value dot) {
    switch (node.kind) {
      case NodeKind::dot:
        return dot;
      case NodeKind::nil:
        return keep(nullptr);
      case NodeKind::constant:
        return Value{&node.value, nullptr};
      case NodeKind::field:
        return walk(node, dot, node.path, {});
      case NodeKind::variable:
        return walk(node, find_variable(node), node.path, {});
      case NodeKind::chain:
        return walk(node, evaluate(*node.children[0], dot), node.path, {});
      case NodeKind::pipeline:
        return evaluate_pipeline(node, dot);
      case NodeKind::identifier: {
        Node command;
        return call_function(node, command, dot, std::nullopt);
      }
      default:
        fail(node, "can't evaluate the operand");
    }
  }

  // .A.B.C, the last one with arguments.
  Value walk(const Node& node, Value value, const std::vector<std::string>& path, const std::vector<Value>& arguments) {
    for (std::size_t index = 0; index < path.size(); ++index) {
      const bool last = index + 1 == path.size();
      value = step(node, value, path[index], last ? arguments : std::vector<Value>{}, last);
    }
    return value;
  }

  Value step(const Node& node, Value value, const std::string& name, const std::vector<Value>& arguments, bool last) {
    if (value.record != nullptr) {
      std::vector<json::value> plain;
      for (const Value& argument : arguments) plain.push_back(argument.data != nullptr ? *argument.data : nullptr);
      std::optional<json::value> result = value.record->call(name, plain);
      if (!result) fail(node, concat("can't evaluate field ", name, " in type ", value.record->type_name()));
      return keep(*std::move(result));
    }
    if (value.absent) return value;
    if (value.data == nullptr) fail(node, concat("nil data; no entry for key ", go_quote(name)));
    if (value.data->is_null()) fail(node, concat("nil pointer evaluating interface {}.", name));
    if (!value.data->is_object())
      fail(node, concat("can't evaluate field ", name, " in type ", type_name(*value.data)));
    const json::object& object = value.data->get_object();
    const json::value* found = find_field(object, name);
    if (found == nullptr) {
      if (tree_.options.missing_key == MissingKey::empty) return Value{};
      if (is_go_map(value.key)) return Value{.absent = true};
      if (std::optional<json::value> zero = zero_of_left_out(object, name); last && zero) {
        Value left_out = keep(*std::move(zero));
        left_out.key = name;
        return left_out;
      }
      if (value.data == root_.data && !tree_.options.root_type.empty()) {
        fail(node, concat("can't evaluate field ", name, " in type ", tree_.options.root_type));
      }
      fail(node, concat("map has no entry for key ", go_quote(name)));
    }
    if (!arguments.empty()) fail(node, concat(name, " is not a method but has arguments"));
    return Value{found, nullptr, name};
  }

  // Go's field names differ from the JSON keys in case alone (ID and Id, CPUShares and CpuShares): both are understood.
  static const json::value* find_field(const json::object& object, const std::string& name) {
    if (const json::value* exact = object.if_contains(name)) return exact;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
    for (const auto& entry : object) {
      const std::string_view key = entry.key();
      const bool same = std::equal(key.begin(), key.end(), name.begin(), name.end(),
                                   [&](char a, char b) { return lower(a) == lower(b); });
      if (same) return &entry.value();
    }
    return nullptr;
  }

  static std::string_view type_name(const json::value& value) {
    if (value.is_string()) return "string";
    if (value.is_bool()) return "bool";
    if (value.is_array()) return "[]interface {}";
    return value.is_double() ? "float64" : "int";
  }

  Value call_function(const Node& node, const Node& command, Value dot, std::optional<Value> last) {
    if (node.text == "and" || node.text == "or") return evaluate_logic(node, command, dot, last);
    std::vector<json::value> arguments;
    for (const Value& argument : arguments_of(command, dot, last)) {
      if (argument.record != nullptr) {
        // Docker's record writes itself with Go's default escaping, also below `json`.
        if (node.text == "json") return keep(json::value(go_json(argument.record->to_json(), true)));
        arguments.push_back(argument.record->to_json());
      } else {
        arguments.push_back(argument.data != nullptr ? *argument.data : json::value(nullptr));
      }
    }
    try {
      return keep(call_template_function(node.text, arguments, tree_.options.header));
    } catch (const FunctionError& error) {
      const bool count = error.message.starts_with("wrong number") || error.message.starts_with("wrong type");
      fail(count || command.children.empty() ? node : command,
           count ? error.message : concat("error calling ", node.text, ": ", error.message));
    }
  }

  // The first argument that decides; the others are not evaluated after it.
  Value evaluate_logic(const Node& node, const Node& command, Value dot, std::optional<Value> last) {
    const bool stop_at = node.text == "or";
    Value value;
    bool any = false;
    for (std::size_t index = 1; index < command.children.size(); ++index) {
      value = evaluate(*command.children[index], dot);
      any = true;
      if (truth(value) == stop_at) return value;
    }
    if (last) return *last;
    if (!any) fail(node, concat("wrong number of args for ", node.text, ": want at least 1 got 0"));
    return value;
  }
};

}  // namespace

Template Template::parse(std::string_view text, TemplateOptions options) {
  auto tree = std::make_shared<TemplateTree>();
  tree->options = std::move(options);
  tree->source = std::string(text);
  parse_template(*tree);
  Template out;
  out.tree_ = std::move(tree);
  return out;
}

std::string Template::execute(const json::value& data) const { return Executor(*tree_, Value{&data, nullptr}).run(); }

std::string Template::execute(const TemplateRecord& data) const {
  return Executor(*tree_, Value{nullptr, &data}).run();
}

}  // namespace mydocker::text_template
