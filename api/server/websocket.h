#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The server's side of the websocket protocol: handshake key and frames (RFC 6455). Pure.
namespace mydocker::api {

/// Sec-WebSocket-Accept for the client's key; nullopt when the key is not 16 bytes of base64.
std::optional<std::string> make_websocket_accept(std::string_view client_key);

enum class WebsocketOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// One unmasked frame, as a server sends it.
std::string make_websocket_frame(WebsocketOpcode opcode, std::string_view payload);
/// A close frame with its status code (RFC 6455, 7.4).
std::string make_websocket_close(std::uint16_t code);

/// Takes a client's frames apart as the bytes come. Data is handed on at once, whatever the length of its frame; only
/// control frames (125 bytes at most) are collected.
class WebsocketDecoder {
 public:
  struct Step {
    std::string data;                 ///< payload of text and binary frames, unmasked
    std::optional<std::string> ping;  ///< wants a pong with this payload
    bool closed = false;              ///< the client said goodbye: nothing follows
    std::uint16_t broken = 0;         ///< it broke the protocol: the code to close with
  };

  /// Consumes bytes from `input`; returns after the first control frame, or when `input` is empty.
  Step feed(std::string& input);

 private:
  bool read_head(std::string& input, Step& step);

  bool in_frame_ = false;
  bool in_message_ = false;  ///< a fragmented message is open
  WebsocketOpcode opcode_ = WebsocketOpcode::binary;
  std::uint64_t left_ = 0;
  std::string mask_;
  std::size_t mask_at_ = 0;
  std::string control_;
};

}  // namespace mydocker::api
