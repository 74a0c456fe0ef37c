#include "engine/base/template/lexer.h"

#include <cstdio>

#include "engine/base/error.h"

namespace mydocker::text_template {
namespace {

constexpr std::string_view spaces = " \t\r\n";

bool is_space(char c) { return spaces.find(c) != std::string_view::npos; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || static_cast<signed char>(c) < 0;
}

std::string character_name(char c) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "U+%04X", static_cast<unsigned>(static_cast<unsigned char>(c)));
  std::string out = buffer;
  if (c >= ' ' && c < 0x7f) out += concat(" '", c, "'");
  return out;
}

}  // namespace

Token Lexer::make(TokenKind kind, std::size_t length) {
  const Token token{kind, position_, source_.substr(position_, length)};
  position_ += length;
  return token;
}

Token Lexer::next() { return inside_ ? read_inside() : read_text(); }

// Comments are skipped here; "{{- " eats the white space before it, " -}}" the white space after it.
Token Lexer::read_text() {
  for (;;) {
    if (trim_next_text_) {
      while (position_ < source_.size() && is_space(source_[position_])) ++position_;
      trim_next_text_ = false;
    }
    if (position_ >= source_.size()) return make(TokenKind::end, 0);
    const std::size_t open = source_.find("{{", position_);
    const std::size_t stop = open == std::string_view::npos ? source_.size() : open;
    const auto at = [&](std::size_t index) { return index < source_.size() ? source_[index] : '\0'; };
    const bool trims = open != std::string_view::npos && at(open + 2) == '-' && is_space(at(open + 3));
    std::size_t text_end = stop;
    if (trims) {
      while (text_end > position_ && is_space(source_[text_end - 1])) --text_end;
    }
    if (text_end > position_) {
      const Token token{TokenKind::text, position_, source_.substr(position_, text_end - position_)};
      position_ = stop;
      return token;
    }
    position_ = stop;
    const std::size_t body = open + (trims ? 4 : 2);
    if (source_.substr(body, 2) != "/*") {
      const Token token{TokenKind::left_delimiter, open, source_.substr(open, 2)};
      position_ = trims ? open + 3 : open + 2;
      inside_ = true;
      parentheses_ = 0;
      return token;
    }
    const std::size_t close = source_.find("*/", body + 2);
    if (close == std::string_view::npos) throw LexError{open, "unclosed comment"};
    position_ = close + 2;
    if (source_.substr(position_, 2) == "}}") {
      position_ += 2;
    } else if (is_space(at(position_)) && source_.substr(position_ + 1, 3) == "-}}") {
      position_ += 4;
      trim_next_text_ = true;
    } else {
      throw LexError{open, "comment ends before closing delimiter"};
    }
  }
}

bool Lexer::at_right_delimiter() const { return source_.substr(position_, 2) == "}}"; }

Token Lexer::read_inside() {
  if (position_ >= source_.size()) throw LexError{position_, "unclosed action"};
  const char c = source_[position_];
  if (is_space(c) && source_.substr(position_ + 1, 3) == "-}}") {
    if (parentheses_ > 0) throw LexError{position_, "unclosed left paren"};
    ++position_;
    const Token token{TokenKind::right_delimiter, position_, source_.substr(position_ + 1, 2)};
    position_ += 3;
    inside_ = false;
    trim_next_text_ = true;
    return token;
  }
  if (at_right_delimiter()) {
    if (parentheses_ > 0) throw LexError{position_, "unclosed left paren"};
    inside_ = false;
    return make(TokenKind::right_delimiter, 2);
  }
  if (is_space(c)) {
    std::size_t length = 1;
    while (position_ + length < source_.size() && is_space(source_[position_ + length]) &&
           source_.substr(position_ + length + 1, 3) != "-}}") {
      ++length;
    }
    return make(TokenKind::space, length);
  }
  const char following = position_ + 1 < source_.size() ? source_[position_ + 1] : '\0';
  switch (c) {
    case '=':
      return make(TokenKind::assign, 1);
    case ':':
      if (following != '=') throw LexError{position_, "expected :="};
      return make(TokenKind::declare, 2);
    case '|':
      return make(TokenKind::pipe, 1);
    case ',':
      return make(TokenKind::comma, 1);
    case '"':
      return read_quoted(TokenKind::string, '"');
    case '\'':
      return read_quoted(TokenKind::character, '\'');
    case '`': {
      const std::size_t close = source_.find('`', position_ + 1);
      if (close == std::string_view::npos) throw LexError{position_, "unterminated raw quoted string"};
      return make(TokenKind::raw_string, close - position_ + 1);
    }
    case '(':
      ++parentheses_;
      return make(TokenKind::left_parenthesis, 1);
    case ')':
      if (--parentheses_ < 0) throw LexError{position_, "unexpected right paren"};
      return make(TokenKind::right_parenthesis, 1);
    default:
      return read_word();
  }
}

Token Lexer::read_quoted(TokenKind kind, char quote) {
  std::size_t index = position_ + 1;
  for (; index < source_.size() && source_[index] != quote && source_[index] != '\n'; ++index) {
    if (source_[index] == '\\') ++index;
  }
  if (index >= source_.size() || source_[index] != quote) {
    throw LexError{position_,
                   kind == TokenKind::string ? "unterminated quoted string" : "unterminated character constant"};
  }
  return make(kind, index - position_ + 1);
}

// A word must end where another token can begin.
Token Lexer::make_word(TokenKind kind, std::size_t end) {
  constexpr std::string_view terminators = " \t\r\n.,|:)(";
  const bool ends = end >= source_.size() || terminators.find(source_[end]) != std::string_view::npos ||
                    source_.substr(end, 2) == "}}";
  if (!ends) throw LexError{position_, "bad character " + character_name(source_[end])};
  return make(kind, end - position_);
}

Token Lexer::read_word() {
  const char c = source_[position_];
  const char following = position_ + 1 < source_.size() ? source_[position_ + 1] : '\0';
  const auto word_end = [&](std::size_t start) {
    while (start < source_.size() && is_word(source_[start])) ++start;
    return start;
  };
  if (c == '.' && !is_digit(following)) {
    const std::size_t stop = word_end(position_ + 1);
    if (stop == position_ + 1) return make(TokenKind::dot, 1);
    return make_word(TokenKind::field, stop);
  }
  if (c == '$') return make_word(TokenKind::variable, word_end(position_ + 1));
  if (is_digit(c) || c == '+' || c == '-' || c == '.') {
    std::size_t stop = position_ + 1;
    while (stop < source_.size() && (is_word(source_[stop]) || source_[stop] == '.' ||
                                     ((source_[stop] == '+' || source_[stop] == '-') &&
                                      (source_[stop - 1] == 'e' || source_[stop - 1] == 'E')))) {
      ++stop;
    }
    return make(TokenKind::number, stop - position_);
  }
  if (is_word(c)) return make_word(TokenKind::identifier, word_end(position_));
  throw LexError{position_, "unrecognized character in action: " + character_name(c)};
}

}  // namespace mydocker::text_template
