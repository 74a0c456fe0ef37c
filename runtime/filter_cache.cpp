#include "runtime/filter_cache.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr char magic[8] = {'m', 'y', 'd', 's', 'e', 'c', '0', '1'};
constexpr std::size_t most_files = 64;  // beyond, the cache starts anew
constexpr std::size_t file_limit = std::size_t{8} << 20;

struct Header {
  char magic[8];
  std::uint32_t key_bytes;
  std::uint32_t instructions;
};

/// Notes follow each other: three numbers, a name and a content, both padded to four bytes (man 5 elf).
std::string find_build_id_note(std::string_view notes) {
  const auto padded = [](std::size_t size) { return (size + 3) / 4 * 4; };
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note{};
    std::memcpy(&note, notes.data(), sizeof note);
    notes.remove_prefix(sizeof note);
    if (notes.size() < padded(note.n_namesz) + note.n_descsz) return "";
    const std::string_view name = notes.substr(0, note.n_namesz);
    const std::string_view content = notes.substr(padded(note.n_namesz), note.n_descsz);
    if (note.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU\0", 4)) return std::string(content);
    notes.remove_prefix(std::min(padded(note.n_namesz) + padded(note.n_descsz), notes.size()));
  }
  return "";
}

/// The linker's identity of the running program, which a sealed copy of it has as well; "": it was linked without.
std::string find_build_id() {
  std::string out;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& header = info->dlpi_phdr[i];
          if (header.p_type != PT_NOTE) continue;
          const std::string_view notes(reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr),
                                       header.p_filesz);
          std::string id = find_build_id_note(notes);
          if (!id.empty()) *static_cast<std::string*>(result) = std::move(id);
        }
        return 1;  // the program itself comes first, and is all that is wanted
      },
      &out);
  return out;
}

/// Without an identity of the linker's: empty for a program without a place on a disk (a sealed copy), of which each
/// run would be another one.
std::string identify_program() {
  if (const std::string id = find_build_id(); !id.empty()) return concat("build ", id, "\n");
  struct stat self{};
  if (::stat("/proc/self/exe", &self) != 0 || self.st_nlink == 0) return "";
  return concat(self.st_dev, ":", self.st_ino, ":", self.st_size, ":", self.st_mtim.tv_sec, ".", self.st_mtim.tv_nsec,
                "\n");
}

std::string make_file_name(std::string_view key) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  std::string name;
  for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[hash >> shift & 15];
  return name;
}

bool is_only_ours(int fd) {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid() &&
         (status.st_mode & 077) == 0;
}

std::optional<FilterProgram> load(int directory, const std::string& name, std::string_view key) {
  const UniqueFd file = find_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file || !is_only_ours(file.get())) return std::nullopt;
  const std::string text = read_all(file.get(), file_limit, name);
  Header header{};
  if (text.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, text.data(), sizeof header);
  const bool fits = std::memcmp(header.magic, magic, sizeof magic) == 0 && header.key_bytes == key.size() &&
                    header.instructions > 0 && header.instructions <= BPF_MAXINSNS &&
                    text.size() == sizeof header + key.size() + header.instructions * sizeof(sock_filter);
  if (!fits || std::string_view(text).substr(sizeof header, key.size()) != key) return std::nullopt;
  FilterProgram program(header.instructions);
  std::memcpy(program.data(), text.data() + sizeof header + key.size(), program.size() * sizeof(sock_filter));
  return program;
}

void make_room(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  if (names.size() < most_files) return;
  for (const std::string& name : names) ::unlinkat(::dirfd(directory.get()), name.c_str(), 0);
}

void store(const std::string& directory, const std::string& name, std::string_view key, const FilterProgram& program) {
  make_dirs(directory, 0700);
  make_room(directory);
  Header header{};
  std::memcpy(header.magic, magic, sizeof magic);
  header.key_bytes = static_cast<std::uint32_t>(key.size());
  header.instructions = static_cast<std::uint32_t>(program.size());
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text += key;
  text.append(reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter));
  const std::string aside = concat(directory, "/", name, ".", ::getpid());
  {
    const UniqueFd file = open_file(aside, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0600);
    write_all(file.get(), text);
  }
  if (::rename(aside.c_str(), concat(directory, "/", name).c_str()) != 0) ::unlink(aside.c_str());
}

}  // namespace

FilterProgram load_or_compile(const Seccomp& seccomp, const std::string& directory) {
  const std::string identity = identify_program();
  if (identity.empty()) return compile_seccomp(seccomp);
  const std::string key = identity + write_json(to_json(seccomp));
  const std::string name = make_file_name(key);
  try {
    const UniqueFd cache = find_at(AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (cache) {
      if (std::optional<FilterProgram> program = load(cache.get(), name, key)) return std::move(*program);
    }
  } catch (const Error&) {  // unreadable: compile
  }
  FilterProgram program = compile_seccomp(seccomp);
  try {
    store(directory, name, key, program);
  } catch (const Error&) {  // full or read-only: the next start compiles again
  }
  return program;
}

}  // namespace mydocker::runtime
