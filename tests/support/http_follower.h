#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace mydocker::test {

/// What comes after the head of an HTTP/1.1 message.
struct BodyFraming {
  enum class Kind {
    none,         ///< nothing: the next head
    counted,      ///< `length` bytes
    chunked,      ///< chunks and trailers
    until_close,  ///< the rest of the connection is the body
    opaque,       ///< the rest of the connection is not HTTP
  };
  Kind kind = Kind::none;
  std::size_t length = 0;
};

/// Follows one direction of an HTTP/1.1 connection whose bytes come in any pieces. Not thread-safe.
class HttpFollower {
 public:
  struct Listener {
    /// A whole head, its empty line included; says what follows it.
    std::function<BodyFraming(std::string_view head)> head;
    /// A decoded piece of the body.
    std::function<void(std::string_view bytes)> body;
    /// The message is complete.
    std::function<void()> end;
  };
  explicit HttpFollower(Listener listener) : listener_(std::move(listener)) {}

  void push(std::string_view bytes);
  /// The connection ended.
  void finish();
  /// Until go_on() nothing more is read: whether HTTP follows depends on the other direction.
  void hold() { held_ = true; }
  void go_on(bool opaque);

 private:
  enum class State { head, counted, chunk_size, chunk, chunk_end, trailer, until_close, opaque };

  bool step();
  bool take_head();
  bool take_line(std::string& line);

  Listener listener_;
  State state_ = State::head;
  std::string raw_;
  std::size_t left_ = 0;
  bool held_ = false;
};

/// What the headers of a head say of its body; `headers` have names in lower case as in Response.
template <typename Headers>
BodyFraming framing_of(const Headers& headers, BodyFraming::Kind otherwise) {
  using Kind = BodyFraming::Kind;
  if (const auto found = headers.find("transfer-encoding"); found != headers.end() && found->second == "chunked") {
    return {.kind = Kind::chunked};
  }
  if (const auto found = headers.find("content-length"); found != headers.end()) {
    return {.kind = Kind::counted, .length = std::stoul(found->second)};
  }
  return {.kind = otherwise};
}

}  // namespace mydocker::test
