#pragma once

#include "api/server/routes/routes.h"
#include "api/server/websocket.h"

namespace mydocker::api {

/// The handshake of a request (RFC 6455, 4.2.1): the value of Sec-WebSocket-Accept. Throws Error{invalid_argument} for
/// what is no websocket request.
std::string check_websocket_request(const Request& request);

/// A hijack that ends in a socket without frames: a pump between it and the client's websocket runs by itself until
/// either side ends. Below API 1.28 output goes out as text frames, from there on as binary ones (WIRE 5.5).
engine::Hijack make_websocket_hijack(Writer& out, std::string accept, WebsocketOpcode output);

}  // namespace mydocker::api
