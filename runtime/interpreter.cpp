#include "runtime/interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "engine/base/unique_fd.h"

namespace mydocker::runtime {
namespace {

constexpr std::size_t longest_line = 256;  // BINPRM_BUF_SIZE
constexpr std::size_t longest_path = 4096;
constexpr unsigned most_headers = 128;

template <typename Header>
bool read_at(int fd, std::uint64_t offset, Header& out) {
  return ::pread(fd, &out, sizeof out, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof out);
}

std::string interpreter_of_script(std::string_view line) {
  line = line.substr(2, line.find('\n') == std::string_view::npos ? line.size() : line.find('\n') - 2);
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  line.remove_prefix(begin);
  return std::string(line.substr(0, line.find_first_of(" \t\r\n")));
}

template <typename Header, typename Segment>
std::string interpreter_of_elf(int fd) {
  Header header{};
  if (!read_at(fd, 0, header) || header.e_phentsize != sizeof(Segment)) return "";
  for (unsigned i = 0; i < std::min<unsigned>(header.e_phnum, most_headers); ++i) {
    Segment segment{};
    if (!read_at(fd, header.e_phoff + std::uint64_t{i} * sizeof segment, segment)) return "";
    if (segment.p_type != PT_INTERP || segment.p_filesz == 0 || segment.p_filesz > longest_path) continue;
    std::string path(segment.p_filesz, '\0');
    const ssize_t got = ::pread(fd, path.data(), path.size(), static_cast<off_t>(segment.p_offset));
    path.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return path.substr(0, path.find('\0'));
  }
  return "";
}

}  // namespace

std::string find_interpreter(const std::string& program) {
  const UniqueFd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, longest_line> head{};
  const ssize_t got = file ? ::pread(file.get(), head.data(), head.size(), 0) : 0;
  const std::string_view text(head.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  if (text.starts_with("#!")) return interpreter_of_script(text);
  if (text.size() < EI_NIDENT || std::memcmp(text.data(), ELFMAG, SELFMAG) != 0) return "";
  return text[EI_CLASS] == ELFCLASS64 ? interpreter_of_elf<Elf64_Ehdr, Elf64_Phdr>(file.get())
                                      : interpreter_of_elf<Elf32_Ehdr, Elf32_Phdr>(file.get());
}

}  // namespace mydocker::runtime
