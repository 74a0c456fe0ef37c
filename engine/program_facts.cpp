#include "engine/program_facts.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <set>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

constexpr int most_links = 40;  // as the kernel's own limit
constexpr std::size_t head_size = 4096;
constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A look into a stack of layers as if they were mounted.
class LayerView {
 public:
  explicit LayerView(const std::vector<std::string>& directories) {
    for (const std::string& directory : directories) {
      UniqueFd root(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (root) roots_.push_back(std::move(root));
    }
  }

  /// The regular file behind a path, open for reading; empty when there is none.
  UniqueFd open_file(const std::string& path) const {
    std::deque<std::string> left = split(path);
    std::string at;
    int links = 0;
    while (!left.empty()) {
      const std::string part = left.front();
      left.pop_front();
      if (part == "..") {
        at.erase(at.find_last_of('/') == std::string::npos ? 0 : at.find_last_of('/'));
        continue;
      }
      const std::string next = concat(at, "/", part);
      struct stat info{};
      const UniqueFd entry = find(next, info);
      if (!entry) return {};
      if (S_ISLNK(info.st_mode)) {
        if (++links > most_links) return {};
        const std::string target = read_link(entry);
        if (target.starts_with('/')) at.clear();
        const std::deque<std::string> words = split(target);
        left.insert(left.begin(), words.begin(), words.end());
      } else if (left.empty()) {
        return S_ISREG(info.st_mode) ? reopen(next) : UniqueFd();
      } else {
        at = next;
      }
    }
    return {};
  }

 private:
  static std::deque<std::string> split(std::string_view path) {
    std::deque<std::string> parts;
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string part(path.substr(begin, end - begin));
      if (!part.empty() && part != ".") parts.push_back(part);
      begin = end + 1;
    }
    return parts;
  }

  static std::string read_link(const UniqueFd& entry) {
    std::string target(4096, '\0');
    const ssize_t size = ::readlinkat(entry.get(), "", target.data(), target.size());
    target.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return target;
  }

  /// The topmost layer's entry; a whiteout hides those below.
  UniqueFd find(const std::string& path, struct stat& info) const {
    for (const UniqueFd& root : roots_) {
      UniqueFd entry = try_open(root, path, O_PATH | O_NOFOLLOW);
      if (!entry || ::fstat(entry.get(), &info) != 0) continue;
      if (S_ISCHR(info.st_mode) && info.st_rdev == 0) return {};
      return entry;
    }
    return {};
  }

  UniqueFd reopen(const std::string& path) const {
    for (const UniqueFd& root : roots_) {
      if (UniqueFd file = try_open(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)) return file;
    }
    return {};
  }

  static UniqueFd try_open(const UniqueFd& root, const std::string& path, int flags) {
    try {
      return open_in_root(root.get(), path, flags);
    } catch (const Error&) {
      return {};  // not in this layer
    }
  }

  std::vector<UniqueFd> roots_;
};

std::string read_head(int file) {
  std::string head(head_size, '\0');
  const ssize_t count = ::pread(file, head.data(), head.size(), 0);
  head.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return head;
}

template <typename Header, typename Segment>
std::string elf_interpreter(int file, const std::string& head) {
  Header header{};
  if (head.size() < sizeof header) return "";
  std::memcpy(&header, head.data(), sizeof header);
  for (std::size_t i = 0; i < header.e_phnum && i < 64; ++i) {
    Segment segment{};
    const auto at = static_cast<off_t>(header.e_phoff + i * sizeof segment);
    if (::pread(file, &segment, sizeof segment, at) != static_cast<ssize_t>(sizeof segment)) return "";
    if (segment.p_type != PT_INTERP || segment.p_filesz == 0 || segment.p_filesz > 4096) continue;
    std::string name(segment.p_filesz, '\0');
    const ssize_t count = ::pread(file, name.data(), name.size(), static_cast<off_t>(segment.p_offset));
    name.resize(count > 0 ? ::strnlen(name.data(), static_cast<std::size_t>(count)) : 0);
    return name;
  }
  return "";
}

/// Of "#!/bin/bash -e" or of PT_INTERP (man 5 elf).
std::string find_interpreter(int file) {
  const std::string head = read_head(file);
  if (head.starts_with("#!")) {
    const std::size_t begin = std::min(head.find_first_not_of(" \t", 2), head.size());
    return head.substr(begin, head.find_first_of(" \t\r\n", begin) - begin);
  }
  if (!head.starts_with(ELFMAG) || head.size() <= EI_CLASS) return "";
  return head[EI_CLASS] == ELFCLASS64 ? elf_interpreter<Elf64_Ehdr, Elf64_Phdr>(file, head)
                                      : elf_interpreter<Elf32_Ehdr, Elf32_Phdr>(file, head);
}

UniqueFd open_program(const LayerView& view, const std::string& program, const std::string& path) {
  if (program.find('/') != std::string::npos) return view.open_file(program);
  const std::string directories = path.empty() ? std::string(default_path) : path;
  for (std::size_t begin = 0; begin < directories.size();) {
    const std::size_t end = std::min(directories.find(':', begin), directories.size());
    if (UniqueFd file = view.open_file(concat(directories.substr(begin, end - begin), "/", program))) return file;
    begin = end + 1;
  }
  return {};
}

/// Inodes of the sockets of this host that wait for clients on the port.
std::set<std::string> find_listening_inodes(unsigned port) {
  std::set<std::string> inodes;
  for (const char* table : {"tcp", "tcp6", "udp", "udp6"}) {
    const std::string text = find_file_at(AT_FDCWD, concat("/proc/self/net/", table)).value_or("");
    const bool tcp = std::string_view(table).starts_with("tcp");
    for (std::size_t begin = text.find('\n'); begin != std::string::npos && begin + 1 < text.size();
         begin = text.find('\n', begin + 1)) {
      unsigned local_port = 0;
      unsigned state = 0;
      unsigned long inode = 0;
      const std::string line = text.substr(begin + 1, text.find('\n', begin + 1) - begin - 1);
      if (std::sscanf(line.c_str(), " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port,
                      &state, &inode) != 3) {
        continue;
      }
      constexpr unsigned listening = 0x0A;
      if (local_port == port && (!tcp || state == listening)) inodes.insert(concat("socket:[", inode, "]"));
    }
  }
  return inodes;
}

bool holds_socket(const std::filesystem::path& process, const std::set<std::string>& inodes) {
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(process / "fd", error)) {
    const std::filesystem::path target = std::filesystem::read_symlink(file.path(), error);
    if (!error && inodes.contains(target.string())) return true;
  }
  return false;
}

}  // namespace

ProgramFacts find_program_facts(const std::vector<std::string>& layers, const std::string& program,
                                const std::string& path) {
  const LayerView view(layers);
  ProgramFacts facts;
  const UniqueFd file = open_program(view, program, path);
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) != 0) return facts;
  facts.found = true;
  facts.executable = (info.st_mode & 0111) != 0;
  facts.interpreter = find_interpreter(file.get());
  facts.interpreter_found = !facts.interpreter.empty() && view.open_file(facts.interpreter);
  return facts;
}

std::string find_port_process(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  const unsigned port = static_cast<unsigned>(std::strtoul(address.c_str() + colon + 1, nullptr, 10));
  const std::set<std::string> inodes = find_listening_inodes(port);
  if (inodes.empty()) return "";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos || !holds_socket(entry.path(), inodes)) continue;
    std::string name = find_file_at(AT_FDCWD, concat("/proc/", pid, "/comm")).value_or("?");
    name = name.substr(0, name.find('\n'));
    return concat("the host's process ", name, " (pid ", pid, ")");
  }
  return "";
}

}  // namespace mydocker::engine
