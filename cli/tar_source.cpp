#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cli/options/words.h"
#include "cli/tar_stream.h"
#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t block_bytes = 512;
constexpr std::size_t read_bytes = std::size_t{256} << 10;

void put_octal(std::string& block, std::size_t offset, std::size_t width, std::uint64_t value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%0*llo", static_cast<int>(width) - 1, static_cast<unsigned long long>(value));
  const std::size_t length = std::strlen(digits);
  // What does not fit stands in a pax record; the field then holds nothing.
  if (length < width) block.replace(offset, length, digits, length);
}

std::string make_block(std::string_view name, std::string_view link, char type, const struct stat& file,
                       std::uint64_t size) {
  std::string block(block_bytes, '\0');
  block.replace(0, std::min<std::size_t>(name.size(), 100), name.substr(0, 100));
  put_octal(block, 100, 8, file.st_mode & 07777);
  put_octal(block, 108, 8, file.st_uid);
  put_octal(block, 116, 8, file.st_gid);
  put_octal(block, 124, 12, size);
  put_octal(block, 136, 12, static_cast<std::uint64_t>(std::max<std::int64_t>(file.st_mtim.tv_sec, 0)));
  block.replace(148, 8, "        ");
  block[156] = type;
  block.replace(157, std::min<std::size_t>(link.size(), 100), link.substr(0, 100));
  block.replace(257, 8, std::string_view("ustar\00000", 8));
  if (type == '3' || type == '4') {
    put_octal(block, 329, 8, ::gnu_dev_major(file.st_rdev));
    put_octal(block, 337, 8, ::gnu_dev_minor(file.st_rdev));
  }
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  block.replace(148, 7, std::string_view(digits, 7));
  return block;
}

// "28 path=some/name\n": the number counts the whole record, itself included.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
  return concat(length, " ", key, "=", value, "\n");
}

std::string pad_block(std::string data) {
  data.append((block_bytes - data.size() % block_bytes) % block_bytes, '\0');
  return data;
}

std::string make_head(const std::string& name, const std::string& link, char type, const struct stat& file,
                      std::uint64_t size) {
  std::string pax;
  if (name.size() > 100) pax += pax_record("path", name);
  if (link.size() > 100) pax += pax_record("linkpath", link);
  if (size >= std::uint64_t{1} << 33) pax += pax_record("size", std::to_string(size));
  if (file.st_uid >= 1U << 21) pax += pax_record("uid", std::to_string(file.st_uid));
  if (file.st_gid >= 1U << 21) pax += pax_record("gid", std::to_string(file.st_gid));
  std::string out;
  if (!pax.empty()) out = make_block("PaxHeaders", "", 'x', file, pax.size()) + pad_block(pax);
  return out + make_block(name, link, type, file, size);
}

char type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return '5';
    case S_IFLNK:
      return '2';
    case S_IFCHR:
      return '3';
    case S_IFBLK:
      return '4';
    case S_IFIFO:
      return '6';
    default:
      return '0';
  }
}

std::string read_link(const std::string& path) {
  std::string out(4096, '\0');
  const ssize_t size = ::readlink(path.c_str(), out.data(), out.size());
  if (size < 0) throw sys_error("readlink ", path);
  out.resize(static_cast<std::size_t>(size));
  return out;
}

}  // namespace

TarSource::TarSource(const std::string& path, std::string name, bool follow) : follow_(follow) {
  pending_.push_back({path, std::move(name)});
}

void TarSource::push_children(const Entry& entry) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(entry.path.c_str()), ::closedir);
  if (!listing) throw sys_error("open ", entry.path);
  std::vector<std::string> names;
  while (const dirent* child = ::readdir(listing.get())) {
    const std::string name = child->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.rbegin(), names.rend());
  for (const std::string& name : names) {
    pending_.push_back({concat(entry.path, "/", name), concat(entry.name, "/", name)});
  }
}

void TarSource::begin(const Entry& entry) {
  struct stat file{};
  const int failed =
      std::exchange(follow_, false) ? ::stat(entry.path.c_str(), &file) : ::lstat(entry.path.c_str(), &file);
  if (failed != 0) throw sys_error("stat ", entry.path);
  if (S_ISSOCK(file.st_mode)) return;
  const char type = type_of(file.st_mode);
  const std::uint64_t size = type == '0' ? static_cast<std::uint64_t>(file.st_size) : 0;
  const std::string link = type == '2' ? read_link(entry.path) : "";
  piece_ = make_head(type == '5' ? entry.name + "/" : entry.name, link, type, file, size);
  if (type == '5') push_children(entry);
  if (size > 0) {
    file_ = open_file(entry.path, O_RDONLY);
    remaining_ = size;
    padding_ = (block_bytes - size % block_bytes) % block_bytes;
    content_bytes_ += size;
  }
}

std::string_view TarSource::next() {
  for (;;) {
    if (file_) {
      piece_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, remaining_)));
      const ssize_t got = retry_on_eintr([&] { return ::read(file_.get(), piece_.data(), piece_.size()); });
      if (got < 0) throw sys_error("read");
      // A file that shrank meanwhile is filled up: its length is already announced.
      if (got > 0) piece_.resize(static_cast<std::size_t>(got));
      if (got == 0) std::fill(piece_.begin(), piece_.end(), '\0');
      remaining_ -= piece_.size();
      if (remaining_ == 0) {
        file_.reset();
        piece_.append(padding_, '\0');
      }
      return piece_;
    }
    if (pending_.empty()) {
      if (std::exchange(ended_, true)) return {};
      piece_.assign(2 * block_bytes, '\0');
      return piece_;
    }
    const Entry entry = std::move(pending_.back());
    pending_.pop_back();
    piece_.clear();
    begin(entry);
    if (!piece_.empty()) return piece_;
  }
}

}  // namespace mydocker::cli
