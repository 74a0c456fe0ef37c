#include "runtime/bundle.h"

#include <fcntl.h>

#include <cerrno>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::size_t config_limit = std::size_t{8} << 20;
const std::string config_file = "config.json";

std::string read_document(const std::string& path) {
  try {
    return read_file(path, config_limit);
  } catch (const Error& error) {
    const ErrorKind kind = error.errno_value() == ENOENT ? ErrorKind::not_found : error.kind();
    throw Error(kind, error.message(), error.errno_value());
  }
}

/// `document` holds what absent members are.
template <typename T>
T parse_document(const std::string& path, T document) {
  const std::string text = read_document(path);
  try {
    read_json(parse_json(text), "", document);
    return document;
  } catch (Error& error) {
    error.add_context(path);
    throw;
  }
}

}  // namespace

Spec read_bundle(const std::string& bundle) {
  const std::string path = concat(bundle, "/", config_file);
  Spec unversioned;
  unversioned.version.clear();  // must be named: only documents that we make have a default
  Spec spec = parse_document(path, std::move(unversioned));
  validate(spec);
  return spec;
}

void write_bundle(const std::string& bundle, const Spec& spec) {
  const UniqueFd file = open_file(concat(bundle, "/", config_file), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  write_all(file.get(), write_json(to_json(spec)));
}

Process read_process(const std::string& path) { return parse_document(path, Process{}); }

}  // namespace mydocker::runtime
