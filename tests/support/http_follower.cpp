#include "tests/support/http_follower.h"

#include <algorithm>

namespace mydocker::test {

void HttpFollower::push(std::string_view bytes) {
  raw_ += bytes;
  while (!held_ && step()) {
  }
}

void HttpFollower::go_on(bool opaque) {
  held_ = false;
  if (opaque) state_ = State::opaque;
  push({});
}

void HttpFollower::finish() {
  if (state_ == State::until_close) listener_.end();
  state_ = State::opaque;
}

bool HttpFollower::take_line(std::string& line) {
  const std::size_t end = raw_.find("\r\n");
  if (end == std::string::npos) return false;
  line = raw_.substr(0, end);
  raw_.erase(0, end + 2);
  return true;
}

bool HttpFollower::take_head() {
  const std::size_t end = raw_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string head = raw_.substr(0, end + 4);
  raw_.erase(0, end + 4);
  const BodyFraming framing = listener_.head(head);
  left_ = framing.length;
  switch (framing.kind) {
    case BodyFraming::Kind::none:
      listener_.end();
      break;
    case BodyFraming::Kind::counted:
      state_ = State::counted;
      break;
    case BodyFraming::Kind::chunked:
      state_ = State::chunk_size;
      break;
    case BodyFraming::Kind::until_close:
      state_ = State::until_close;
      break;
    case BodyFraming::Kind::opaque:
      state_ = State::opaque;
      break;
  }
  return true;
}

/// One piece of the message; false when more bytes are needed.
bool HttpFollower::step() {
  std::string line;
  switch (state_) {
    case State::head:
      return take_head();
    case State::counted:
    case State::chunk: {
      if (raw_.empty() && left_ > 0) return false;
      const std::size_t part = std::min(left_, raw_.size());
      if (part > 0) listener_.body(std::string_view(raw_).substr(0, part));
      raw_.erase(0, part);
      left_ -= part;
      if (left_ > 0) return false;
      if (state_ == State::chunk) {
        state_ = State::chunk_end;
      } else {
        state_ = State::head;
        listener_.end();
      }
      return true;
    }
    case State::chunk_size:
      if (!take_line(line)) return false;
      left_ = std::stoul(line, nullptr, 16);
      state_ = left_ == 0 ? State::trailer : State::chunk;
      return true;
    case State::chunk_end:
      if (!take_line(line)) return false;
      state_ = State::chunk_size;
      return true;
    case State::trailer:
      if (!take_line(line)) return false;
      if (line.empty()) {
        state_ = State::head;
        listener_.end();
      }
      return true;
    case State::until_close:
      if (!raw_.empty()) listener_.body(raw_);
      raw_.clear();
      return false;
    case State::opaque:
      raw_.clear();
      return false;
  }
  return false;
}

}  // namespace mydocker::test
