#include <algorithm>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/template/ast.h"
#include "engine/base/template/functions.h"
#include "engine/base/template/lexer.h"
#include "engine/base/template/literals.h"

namespace mydocker::text_template {
namespace {

constexpr int max_nesting = 100;

class Parser {
 public:
  explicit Parser(TemplateTree& tree) : tree_(tree), lexer_(tree.source) {}

  void parse() {
    variables_ = {"$"};
    std::string ending;
    tree_.root = parse_list(ending);
    if (!ending.empty()) fail(concat("unexpected {{", ending, "}}"));
  }

 private:
  TemplateTree& tree_;
  Lexer lexer_;
  std::optional<Token> peeked_;
  std::vector<std::string> variables_;
  std::size_t last_position_ = 0;
  int depth_ = 0;
  int range_depth_ = 0;

  [[noreturn]] void fail(const std::string& message) const {
    const auto stop = tree_.source.begin() + static_cast<std::ptrdiff_t>(std::min(last_position_, tree_.source.size()));
    const auto line = 1 + std::count(tree_.source.begin(), stop, '\n');
    throw Error(ErrorKind::invalid_argument, concat("template: ", tree_.options.name, ":", line, ": ", message));
  }

  Token next() {
    if (peeked_) {
      const Token token = *peeked_;
      peeked_.reset();
      last_position_ = token.position;
      return token;
    }
    try {
      const Token token = lexer_.next();
      last_position_ = token.position;
      return token;
    } catch (const LexError& error) {
      last_position_ = error.position;
      fail(error.message);
    }
  }
  const Token& peek() {
    if (!peeked_) peeked_ = next();
    return *peeked_;
  }
  const Token& peek_non_space() {
    while (peek().kind == TokenKind::space) next();
    return peek();
  }
  Token next_non_space() {
    peek_non_space();
    return next();
  }

  [[noreturn]] void unexpected(const Token& token, std::string_view context) const {
    if (token.kind == TokenKind::end) fail(concat("unexpected EOF"));
    const bool keyword = token.kind == TokenKind::identifier && is_keyword(token.text);
    fail(concat("unexpected ", keyword ? concat("<", token.text, ">") : go_quote(token.text), " in ", context));
  }

  static bool is_keyword(std::string_view word) {
    static constexpr std::string_view words[] = {"if",    "else",     "end",    "range", "with",
                                                 "break", "continue", "define", "block", "template"};
    return std::find(std::begin(words), std::end(words), word) != std::end(words);
  }

  struct Nesting {
    explicit Nesting(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > max_nesting) parser_.fail("nesting is too deep");
    }
    ~Nesting() { --parser_.depth_; }
    Parser& parser_;
  };

  static NodePtr make(NodeKind kind, std::size_t position) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->position = position;
    return node;
  }

  // Until the end of the source or a closing keyword, which is left in `ending` ("end", "else").
  NodePtr parse_list(std::string& ending) {
    const Nesting nesting(*this);
    NodePtr list = make(NodeKind::list, peek_position());
    for (;;) {
      const Token token = next();
      if (token.kind == TokenKind::end) return list;
      if (token.kind == TokenKind::text) {
        NodePtr text = make(NodeKind::text, token.position);
        text->text = std::string(token.text);
        list->children.push_back(std::move(text));
        continue;
      }
      NodePtr action = parse_action(ending);
      if (!ending.empty()) return list;
      if (action) list->children.push_back(std::move(action));
    }
  }

  std::size_t peek_position() { return peek().position; }

  // After {{.
  NodePtr parse_action(std::string& ending) {
    const Token token = peek_non_space();
    if (token.kind == TokenKind::identifier && is_keyword(token.text)) {
      next();
      return parse_keyword(token, ending);
    }
    NodePtr action = make(NodeKind::action, token.position);
    action->children.push_back(parse_pipeline("command", TokenKind::right_delimiter));
    return action;
  }

  NodePtr parse_keyword(const Token& token, std::string& ending) {
    if (token.text == "end" || token.text == "else") {
      ending = std::string(token.text);
      if (token.text == "end") expect_right_delimiter("end");
      return nullptr;
    }
    if (token.text == "if") return parse_control(NodeKind::if_, token);
    if (token.text == "with") return parse_control(NodeKind::with, token);
    if (token.text == "range") return parse_control(NodeKind::range, token);
    if (token.text == "break" || token.text == "continue") {
      if (range_depth_ == 0) fail(concat("{{", token.text, "}} outside {{range}}"));
      expect_right_delimiter(token.text);
      return make(token.text == "break" ? NodeKind::break_ : NodeKind::continue_, token.position);
    }
    if (token.text == "template") return parse_template_call(token);
    return parse_definition(token);
  }

  void expect_right_delimiter(std::string_view context) {
    const Token token = next_non_space();
    if (token.kind != TokenKind::right_delimiter) unexpected(token, context);
  }

  // {{if pipeline}} list {{else if pipeline}} ... {{else}} list {{end}}
  NodePtr parse_control(NodeKind kind, const Token& token) {
    const Nesting nesting(*this);
    const std::size_t scope = variables_.size();
    NodePtr node = make(kind, token.position);
    node->text = std::string(token.text);
    node->children.push_back(parse_pipeline(token.text, TokenKind::right_delimiter));
    if (kind == NodeKind::range) ++range_depth_;
    std::string ending;
    node->children.push_back(parse_list(ending));
    if (kind == NodeKind::range) --range_depth_;
    node->children.push_back(nullptr);
    if (ending.empty()) fail("unexpected EOF");
    if (ending == "else") {
      const Token following = peek_non_space();
      const bool chained =
          following.kind == TokenKind::identifier &&
          ((kind == NodeKind::if_ && following.text == "if") || (kind == NodeKind::with && following.text == "with"));
      if (chained) {
        next();
        NodePtr list = make(NodeKind::list, following.position);
        list->children.push_back(parse_control(kind, following));
        node->children[2] = std::move(list);
      } else {
        expect_right_delimiter("else");
        ending.clear();
        node->children[2] = parse_list(ending);
        if (ending.empty()) fail("unexpected EOF");
        if (ending != "end") fail("expected end; found {{else}}");
      }
    }
    variables_.resize(scope);
    return node;
  }

  std::string parse_template_name(std::string_view context) {
    const Token token = next_non_space();
    if (token.kind != TokenKind::string && token.kind != TokenKind::raw_string) unexpected(token, context);
    if (token.kind == TokenKind::raw_string) return std::string(token.text.substr(1, token.text.size() - 2));
    const auto name = unquote(token.text.substr(1, token.text.size() - 2));
    if (!name) fail(concat("invalid syntax: ", token.text));
    return *name;
  }

  NodePtr parse_template_call(const Token& token) {
    NodePtr node = make(NodeKind::template_, token.position);
    node->text = parse_template_name("template clause");
    node->children.push_back(nullptr);
    if (peek_non_space().kind == TokenKind::right_delimiter) {
      next();
    } else {
      node->children[0] = parse_pipeline("template clause", TokenKind::right_delimiter);
    }
    return node;
  }

  // {{define "name"}} ... {{end}}, or {{block "name" pipeline}} ... {{end}} = define and call.
  NodePtr parse_definition(const Token& token) {
    const bool block = token.text == "block";
    const std::string name = parse_template_name(block ? "block clause" : "define clause");
    NodePtr call;
    if (block) {
      call = make(NodeKind::template_, token.position);
      call->text = name;
      call->children.push_back(parse_pipeline("block clause", TokenKind::right_delimiter));
    } else {
      expect_right_delimiter("define clause");
    }
    std::vector<std::string> outer{"$"};
    outer.swap(variables_);
    const int outer_range = std::exchange(range_depth_, 0);
    std::string ending;
    NodePtr body = parse_list(ending);
    if (ending != "end")
      fail(concat("unexpected ", ending.empty() ? "EOF" : "{{else}}", " in ", token.text, " clause"));
    range_depth_ = outer_range;
    variables_.swap(outer);
    tree_.defined[name] = std::move(body);
    return call;
  }

  NodePtr parse_pipeline(std::string_view context, TokenKind end) {
    const Nesting nesting(*this);
    NodePtr pipe = make(NodeKind::pipeline, peek_non_space().position);
    parse_declarations(*pipe, context);
    for (;;) {
      if (pushed_variable_) {
        pipe->children.push_back(parse_command());
        continue;
      }
      const Token token = peek_non_space();
      if (token.kind == end) {
        next();
        check_pipeline(*pipe, context);
        return pipe;
      }
      if (token.kind == TokenKind::right_delimiter || token.kind == TokenKind::right_parenthesis ||
          token.kind == TokenKind::end || token.kind == TokenKind::pipe || token.kind == TokenKind::comma ||
          token.kind == TokenKind::declare || token.kind == TokenKind::assign) {
        unexpected(token, context);
      }
      pipe->children.push_back(parse_command());
    }
  }

  void check_pipeline(const Node& pipe, std::string_view context) const {
    if (pipe.children.empty()) fail(concat("missing value for ", context));
    for (std::size_t index = 1; index < pipe.children.size(); ++index) {
      const NodeKind kind = pipe.children[index]->children.front()->kind;
      if (kind == NodeKind::constant || kind == NodeKind::dot || kind == NodeKind::nil) {
        fail(concat("non executable command in pipeline stage ", index + 1));
      }
    }
  }

  // "$x := ", "$x = ", and for range "$i, $e := ".
  void parse_declarations(Node& pipe, std::string_view context) {
    if (peek_non_space().kind != TokenKind::variable) return;
    const Token variable = next();
    const bool had_space = peek().kind == TokenKind::space;
    const Token after = peek_non_space();
    if (after.kind == TokenKind::declare || after.kind == TokenKind::assign) {
      next();
      pipe.declares = after.kind == TokenKind::declare;
      declare(pipe, variable);
    } else if (after.kind == TokenKind::comma && context == "range") {
      next();
      const Token second = next_non_space();
      if (second.kind != TokenKind::variable) unexpected(second, context);
      const Token sign = next_non_space();
      if (sign.kind != TokenKind::declare && sign.kind != TokenKind::assign) unexpected(sign, context);
      pipe.declares = sign.kind == TokenKind::declare;
      declare(pipe, variable);
      declare(pipe, second);
    } else {
      pushed_variable_ = variable;
      pushed_space_ = had_space;
    }
  }

  void declare(Node& pipe, const Token& variable) {
    pipe.variables.emplace_back(variable.text);
    if (pipe.declares) {
      variables_.emplace_back(variable.text);
    } else {
      use_variable(variable.text);
    }
  }

  void use_variable(std::string_view name) const {
    if (std::find(variables_.begin(), variables_.end(), name) == variables_.end()) {
      fail(concat("undefined variable ", go_quote(name)));
    }
  }

  // A variable that turned out not to be a declaration is given back to parse_operand.
  std::optional<Token> pushed_variable_;
  bool pushed_space_ = false;

  NodePtr parse_command() {
    NodePtr command =
        make(NodeKind::command, pushed_variable_ ? pushed_variable_->position : peek_non_space().position);
    for (;;) {
      bool space_after = false;
      NodePtr operand = parse_operand(space_after);
      if (operand) command->children.push_back(std::move(operand));
      const Token token = peek();
      if (token.kind == TokenKind::space || space_after) {
        const Token following = peek_non_space();
        if (following.kind == TokenKind::right_delimiter || following.kind == TokenKind::right_parenthesis) break;
        if (following.kind == TokenKind::pipe) {
          next();
          expect_more_after_pipe();
          break;
        }
        if (following.kind == TokenKind::end) unexpected(following, "operand");
        continue;
      }
      if (token.kind == TokenKind::right_delimiter || token.kind == TokenKind::right_parenthesis) break;
      if (token.kind == TokenKind::pipe) {
        next();
        expect_more_after_pipe();
        break;
      }
      unexpected(token, "operand");
    }
    if (command->children.empty()) fail("empty command");
    return command;
  }

  void expect_more_after_pipe() {
    const Token token = peek_non_space();
    if (token.kind == TokenKind::right_delimiter || token.kind == TokenKind::right_parenthesis) {
      fail("missing value for command");
    }
  }

  NodePtr parse_operand(bool& space_after) {
    Token token;
    if (pushed_variable_) {
      token = *pushed_variable_;
      pushed_variable_.reset();
      space_after = std::exchange(pushed_space_, false);
    } else {
      token = next_non_space();
    }
    NodePtr node = parse_term(token);
    // A space was already read: what follows is the next operand, not a field of this one.
    if (space_after || peek().kind != TokenKind::field) return node;
    const std::size_t position = peek().position;
    std::vector<std::string> fields;
    while (peek().kind == TokenKind::field) fields.emplace_back(next().text.substr(1));
    switch (node->kind) {
      case NodeKind::field:
      case NodeKind::variable:
        node->path.insert(node->path.end(), fields.begin(), fields.end());
        node->position = position;
        return node;
      case NodeKind::constant:
      case NodeKind::nil:
        fail(concat("unexpected . after term ", go_quote(node_text(*node))));
      default:
        break;
    }
    NodePtr chain = make(NodeKind::chain, position);
    chain->path = std::move(fields);
    chain->children.push_back(std::move(node));
    return chain;
  }

  NodePtr parse_term(const Token& token) {
    switch (token.kind) {
      case TokenKind::identifier:
        return parse_identifier(token);
      case TokenKind::dot:
        return make(NodeKind::dot, token.position);
      case TokenKind::variable: {
        use_variable(token.text);
        NodePtr node = make(NodeKind::variable, token.position);
        node->text = std::string(token.text);
        return node;
      }
      case TokenKind::field: {
        NodePtr node = make(NodeKind::field, token.position);
        node->path.emplace_back(token.text.substr(1));
        return node;
      }
      case TokenKind::left_parenthesis:
        return parse_pipeline("parenthesized pipeline", TokenKind::right_parenthesis);
      case TokenKind::number:
      case TokenKind::string:
      case TokenKind::raw_string:
      case TokenKind::character:
        return parse_constant(token);
      default:
        unexpected(token, "operand");
    }
  }

  NodePtr parse_identifier(const Token& token) {
    NodePtr node = make(NodeKind::identifier, token.position);
    node->text = std::string(token.text);
    if (token.text == "nil") {
      node->kind = NodeKind::nil;
    } else if (token.text == "true" || token.text == "false") {
      node->kind = NodeKind::constant;
      node->value = token.text == "true";
    } else if (is_keyword(token.text)) {
      unexpected(token, "operand");
    } else if (!is_template_function(token.text)) {
      fail(concat("function ", go_quote(token.text), " not defined"));
    }
    return node;
  }

  NodePtr parse_constant(const Token& token) {
    NodePtr node = make(NodeKind::constant, token.position);
    node->text = std::string(token.text);
    const std::string_view inside = token.text.substr(1, token.text.size() >= 2 ? token.text.size() - 2 : 0);
    if (token.kind == TokenKind::number) {
      const auto number = parse_number(token.text);
      if (!number) fail(concat("bad number syntax: ", go_quote(token.text)));
      node->value = *number;
    } else if (token.kind == TokenKind::raw_string) {
      node->value = std::string(inside);
    } else {
      const auto text = unquote(inside);
      if (!text) fail(concat("invalid syntax"));
      if (token.kind == TokenKind::string) {
        node->value = *text;
      } else {
        const auto code = decode_single_character(*text);
        if (!code) fail(concat("malformed character constant: ", token.text));
        node->value = *code;
      }
    }
    return node;
  }
};

}  // namespace

void parse_template(TemplateTree& tree) { Parser(tree).parse(); }

std::string node_text(const Node& node) {
  std::string out;
  const auto join_children = [&](std::string_view separator) {
    for (std::size_t index = 0; index < node.children.size(); ++index) {
      if (index > 0) out += separator;
      const Node& child = *node.children[index];
      out += child.kind == NodeKind::pipeline && node.kind == NodeKind::command ? concat("(", node_text(child), ")")
                                                                                : node_text(child);
    }
  };
  const auto add_path = [&] {
    for (const std::string& part : node.path) out += "." + part;
  };
  switch (node.kind) {
    case NodeKind::field:
      add_path();
      break;
    case NodeKind::variable:
      out = node.text;
      add_path();
      break;
    case NodeKind::chain:
      out = node.children[0]->kind == NodeKind::pipeline ? concat("(", node_text(*node.children[0]), ")")
                                                         : node_text(*node.children[0]);
      add_path();
      break;
    case NodeKind::dot:
      out = ".";
      break;
    case NodeKind::command:
      join_children(" ");
      break;
    case NodeKind::pipeline:
      for (std::size_t index = 0; index < node.variables.size(); ++index) {
        if (index > 0) out += ", ";
        out += node.variables[index];
      }
      if (!node.variables.empty()) out += node.declares ? " := " : " = ";
      join_children(" | ");
      break;
    default:
      out = node.text;
      break;
  }
  return out;
}

}  // namespace mydocker::text_template
