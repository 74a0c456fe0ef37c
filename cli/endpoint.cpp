#include "cli/endpoint.h"

#include "engine/base/error.h"

namespace mydocker::cli {

std::string Endpoint::url() const {
  return kind == Kind::unix_socket ? concat("unix://", path) : concat("tcp://", host, ":", port);
}

Endpoint parse_endpoint(std::string_view text, std::string_view default_port) {
  const auto fail = [&](std::string_view reason) {
    return Error(ErrorKind::invalid_argument, concat("unable to resolve docker endpoint: ", reason, text));
  };
  Endpoint out;
  if (text.starts_with("unix://")) {
    out.path = std::string(text.substr(7));
    if (out.path.empty()) out.path = std::string(default_socket);
    return out;
  }
  std::string_view rest = text;
  if (rest.starts_with("tcp://")) {
    rest.remove_prefix(6);
  } else if (rest.find("://") != std::string_view::npos) {
    throw fail("invalid bind address format: ");
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) rest = rest.substr(0, slash);
  out.kind = Endpoint::Kind::tcp;
  const std::size_t colon = rest.rfind(':');
  const bool bracketed = rest.starts_with('[');
  const bool has_port = colon != std::string_view::npos && (!bracketed || rest[colon - 1] == ']');
  out.host = std::string(has_port ? rest.substr(0, colon) : rest);
  out.port = has_port ? std::string(rest.substr(colon + 1)) : std::string(default_port);
  if (bracketed && out.host.ends_with(']')) out.host = out.host.substr(1, out.host.size() - 2);
  if (out.host.empty()) out.host = "localhost";
  if (out.port.empty()) throw fail("invalid bind address format: ");
  return out;
}

}  // namespace mydocker::cli
