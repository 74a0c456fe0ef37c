#include "api/server/websocket.h"

#include <openssl/sha.h>

#include <algorithm>

#include "engine/base/base64.h"
#include "engine/base/error.h"

namespace mydocker::api {
namespace {

constexpr std::string_view handshake_salt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 1.3
constexpr std::size_t key_size = 16;
constexpr std::size_t mask_size = 4;
constexpr std::size_t largest_control = 125;
constexpr std::uint16_t protocol_error = 1002;

bool is_control(WebsocketOpcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

bool is_known(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

}  // namespace

std::optional<std::string> make_websocket_accept(std::string_view client_key) {
  const std::optional<std::string> nonce = decode_base64(client_key);
  if (!nonce || nonce->size() != key_size) return std::nullopt;
  const std::string salted = concat(client_key, handshake_salt);
  std::string hash(SHA_DIGEST_LENGTH, '\0');
  ::SHA1(reinterpret_cast<const unsigned char*>(salted.data()), salted.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return encode_base64(hash);
}

std::string make_websocket_frame(WebsocketOpcode opcode, std::string_view payload) {
  std::string frame(1, static_cast<char>(0x80 | static_cast<std::uint8_t>(opcode)));
  const std::size_t size = payload.size();
  std::size_t length_bytes = 0;
  if (size <= largest_control) {
    frame += static_cast<char>(size);
  } else if (size <= 0xFFFF) {
    frame += static_cast<char>(126);
    length_bytes = 2;
  } else {
    frame += static_cast<char>(127);
    length_bytes = 8;
  }
  for (std::size_t i = length_bytes; i-- > 0;) frame += static_cast<char>(size >> (8 * i) & 0xFF);
  return frame.append(payload);
}

std::string make_websocket_close(std::uint16_t code) {
  const char payload[] = {static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
  return make_websocket_frame(WebsocketOpcode::close, {payload, sizeof payload});
}

/// false: more bytes are needed, or the step says what is wrong.
bool WebsocketDecoder::read_head(std::string& input, Step& step) {
  if (input.size() < 2) return false;
  const auto first = static_cast<std::uint8_t>(input[0]);
  const auto second = static_cast<std::uint8_t>(input[1]);
  const bool final = (first & 0x80) != 0;
  const bool masked = (second & 0x80) != 0;
  const auto number = static_cast<std::uint8_t>(first & 0x0F);
  const auto opcode = static_cast<WebsocketOpcode>(number);
  const std::uint8_t short_length = second & 0x7F;
  const bool control = is_control(opcode);
  const bool continues = opcode == WebsocketOpcode::continuation;
  // A client masks (5.1), sets no reserved bit without an extension, keeps control frames short and whole (5.5), and
  // begins no message inside another (5.4).
  if ((first & 0x70) != 0 || !masked || !is_known(number) || (control && (!final || short_length > largest_control)) ||
      (!control && continues != in_message_)) {
    step.broken = protocol_error;
    return false;
  }
  const std::size_t length_bytes = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  if (input.size() < 2 + length_bytes + mask_size) return false;
  left_ = length_bytes == 0 ? short_length : read_big_endian(std::string_view(input).substr(2, length_bytes));
  if ((left_ >> 63) != 0) {
    step.broken = protocol_error;
    return false;
  }
  mask_ = input.substr(2 + length_bytes, mask_size);
  mask_at_ = 0;
  input.erase(0, 2 + length_bytes + mask_size);
  opcode_ = opcode;
  if (!control) in_message_ = !final;
  in_frame_ = true;
  control_.clear();
  return true;
}

WebsocketDecoder::Step WebsocketDecoder::feed(std::string& input) {
  Step step;
  while (in_frame_ || read_head(input, step)) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size()));
    std::string& target = is_control(opcode_) ? control_ : step.data;
    for (std::size_t i = 0; i < count; ++i) target += static_cast<char>(input[i] ^ mask_[mask_at_++ % mask_size]);
    input.erase(0, count);
    left_ -= count;
    if (left_ > 0) break;
    in_frame_ = false;
    if (opcode_ == WebsocketOpcode::close) step.closed = true;
    if (opcode_ == WebsocketOpcode::ping) step.ping = control_;
    if (is_control(opcode_)) break;
  }
  return step;
}

}  // namespace mydocker::api
