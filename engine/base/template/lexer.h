#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Splits a template into text and the tokens between {{ and }}. Private to the template engine.
namespace mydocker::text_template {

enum class TokenKind {
  text,
  left_delimiter,
  right_delimiter,
  space,
  identifier,  ///< also keywords, true, false, nil
  field,       ///< .Name
  dot,
  variable,  ///< $ or $name
  number,
  string,      ///< "quoted", still with its quotes
  raw_string,  ///< `raw`
  character,   ///< 'c'
  pipe,
  comma,
  declare,  ///< :=
  assign,   ///< =
  left_parenthesis,
  right_parenthesis,
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::size_t position = 0;
  std::string_view text;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  /// Throws LexError.
  Token next();

 private:
  std::string_view source_;
  std::size_t position_ = 0;
  bool inside_ = false;
  bool trim_next_text_ = false;
  int parentheses_ = 0;

  Token make(TokenKind kind, std::size_t length);
  Token read_text();
  Token read_inside();
  Token read_quoted(TokenKind kind, char quote);
  Token read_word();
  Token make_word(TokenKind kind, std::size_t end);
  bool at_right_delimiter() const;
};

struct LexError {
  std::size_t position = 0;
  std::string message;
};

}  // namespace mydocker::text_template
