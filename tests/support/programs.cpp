#include "tests/support/programs.h"

#include <cstdlib>
#include <filesystem>

namespace mydocker::test {
namespace {

/// Asked before main(): once the test has a mount namespace of its own, the link's text is a path of the old one, which
/// in a chroot names nothing.
const std::filesystem::path own_directory = std::filesystem::read_symlink("/proc/self/exe").parent_path();

}  // namespace

std::string programs_directory() {
  if (const char* directory = std::getenv("MYDOCKER_BIN_DIR"); directory != nullptr && *directory != '\0') {
    return directory;
  }
  return (own_directory / "../../bin").lexically_normal().string();
}

std::string program(const std::string& name) { return programs_directory() + "/" + name; }
std::string payload_program() { return (own_directory / "payload").string(); }

std::string build_directory() { return (own_directory / "../..").lexically_normal().string(); }

}  // namespace mydocker::test
