#include "runtime/oci/report.h"

#include <fcntl.h>

#include <string>

#include "engine/base/json.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"

namespace mydocker::oci {
namespace {

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return out + "\"";
}

void write_line(const GlobalOptions& options, std::string_view level, std::string_view message) {
  if (options.log_file.empty()) return;
  const std::string time = to_rfc3339(now());
  const std::string line = options.log_json
                               ? write_json(json::object{{"level", level}, {"msg", message}, {"time", time}}) + "\n"
                               : concat("time=\"", time, "\" level=", level, " msg=", quote(message), "\n");
  try {
    const UniqueFd file = open_file(options.log_file, O_CREAT | O_WRONLY | O_APPEND, 0644);
    write_all(file.get(), line);
  } catch (const Error&) {  // standard error still has it
  }
}

}  // namespace

void report_error(const GlobalOptions& options, std::string_view message) {
  write_line(options, "error", message);
  write_all(2, concat("mydocker-runtime: ", message, "\n"));
}

void warn(const GlobalOptions& options, std::string_view message) {
  write_line(options, "warning", message);
  write_all(2, concat("mydocker-runtime: warning: ", message, "\n"));
}

void warn(const GlobalOptions& options, const std::vector<std::string>& messages) {
  for (const std::string& message : messages) warn(options, message);
}

}  // namespace mydocker::oci
