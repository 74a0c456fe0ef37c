#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// The lines of pull, load, import, push and build (WIRE 8).
namespace mydocker::image {

struct ProgressDetail {
  std::int64_t current = 0;  ///< bytes
  std::int64_t total = 0;    ///< bytes; 0 = unknown
};

/// One line of a progress stream. Empty members are not on the wire.
struct ProgressMessage {
  std::string id;                        ///< tag, or first twelve digits of a layer's digest
  std::string status;                    ///< "Downloading"
  std::string stream;                    ///< text, verbatim
  std::optional<ProgressDetail> detail;  ///< present with zeros: "progressDetail":{}
  std::string aux_json;                  ///< an object as JSON text
};

/// Takes messages from several threads at once, never two of one call at the same time (the callers hold a lock). It
/// may block (back-pressure) but must not call back into this module.
using ProgressSink = std::function<void(const ProgressMessage&)>;

/// The complete wire form, one object and "\r\n", with the rendered bar in "progress".
std::string to_wire(const ProgressMessage& message);
/// The last line of a stream that failed: {"errorDetail":{"message":text},"error":text} and "\r\n".
std::string to_wire_error(std::string_view text);

/// "[====>     ]  32.77kB/2.22MB": the bar of an 80 column terminal; "" when nothing is known.
std::string render_bar(const ProgressDetail& detail);
/// Docker's decimal sizes with four digits: "0B", "32.77kB", "2.22MB".
std::string human_size(std::int64_t bytes);

}  // namespace mydocker::image
