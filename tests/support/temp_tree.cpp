#include "tests/support/temp_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::test {

namespace fs = std::filesystem;

TempTree::TempTree(std::initializer_list<std::pair<std::string_view, std::string_view>> files) {
  const char* base = std::getenv("TMPDIR");
  path_ = concat(base != nullptr && *base != '\0' ? base : "/tmp", "/mydocker-test-XXXXXX");
  if (::mkdtemp(path_.data()) == nullptr) throw sys_error("mkdtemp ", path_);
  for (const auto& [entry, content] : files) {
    if (entry.ends_with('/')) {
      make_dirs(path(entry));
    } else {
      write(entry, content);
    }
  }
}

TempTree::~TempTree() {
  try {
    remove_tree(path_);
  } catch (const Error&) {  // a test that mounted something there has failed already
  }
}

std::string TempTree::path(std::string_view entry) const { return concat(path_, "/", entry); }

void TempTree::write(std::string_view entry, std::string_view content) const {
  const fs::path file = path(entry);
  fs::create_directories(file.parent_path());
  const UniqueFd fd = open_file(file.string(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  write_all(fd.get(), content);
}

std::string TempTree::read(std::string_view entry) const { return read_file(path(entry)); }

bool TempTree::exists(std::string_view entry) const { return path_exists(path(entry)); }

std::string TempTree::listing() const { return list_tree(path_); }

namespace {

std::string describe(const fs::path& path, const struct ::stat& status) {
  if (S_ISLNK(status.st_mode)) return concat("-> ", fs::read_symlink(path).string());
  if (!S_ISREG(status.st_mode)) return "";
  const std::size_t hash = std::hash<std::string>()(read_file(path.string()));
  return concat(status.st_size, " ", hash);
}

}  // namespace

std::string list_tree(const std::string& directory) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    struct ::stat status{};
    if (::lstat(entry.path().c_str(), &status) != 0) throw sys_error("lstat ", entry.path().string());
    lines.push_back(concat(entry.path().lexically_relative(directory).string(), " ", status.st_mode, " ",
                           describe(entry.path(), status), "\n"));
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line;
  return out;
}

}  // namespace mydocker::test
