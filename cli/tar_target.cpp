#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "cli/options/words.h"
#include "cli/tar_stream.h"
#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t block_bytes = 512;
constexpr std::uint64_t max_metadata_bytes = std::uint64_t{1} << 20;

Error malformed(std::string_view what) {
  return Error(ErrorKind::invalid_argument, concat("malformed tar archive: ", what));
}

std::string text_field(std::string_view block, std::size_t offset, std::size_t width) {
  const std::string_view field = block.substr(offset, width);
  return std::string(field.substr(0, field.find('\0')));
}

std::uint64_t number_field(std::string_view block, std::size_t offset, std::size_t width) {
  const std::string_view field = block.substr(offset, width);
  if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    std::uint64_t value = static_cast<unsigned char>(field[0]) & 0x3F;
    for (const char c : field.substr(1)) {
      if (value >> 56 != 0) throw malformed("a number is too large");
      value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
  }
  std::uint64_t value = 0;
  for (const char c : field) {
    if (c == ' ' && value == 0) continue;
    if (c < '0' || c > '7') break;
    value = value << 3 | static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

template <typename Integer>
void apply(const std::map<std::string, std::string>& pax, const char* key, Integer& target) {
  const auto found = pax.find(key);
  if (found == pax.end()) return;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), target);
}

// Name components without "", "." ; ".." is refused.
std::vector<std::string> components_of(const std::string& name) {
  std::vector<std::string> out;
  for (std::string& part : split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") throw malformed(concat("\"", name, "\" leaves the directory"));
    out.push_back(std::move(part));
  }
  return out;
}

}  // namespace

TarTarget::TarTarget(const std::string& directory, std::string from, std::string to, Ownership ownership)
    : root_(open_file(directory, O_RDONLY | O_DIRECTORY)),
      from_(std::move(from)),
      to_(std::move(to)),
      ownership_(ownership) {}

void TarTarget::feed(std::string_view bytes) {
  while (!bytes.empty() && state_ != State::ended) {
    if (state_ == State::header) {
      const std::size_t taken = std::min(block_bytes - block_.size(), bytes.size());
      block_ += bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      if (block_.size() == block_bytes) begin_entry();
      continue;
    }
    if (remaining_ > 0) {
      const std::string_view piece =
          bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size())));
      if (state_ == State::data) write_all(file_.get(), piece);
      if (state_ == State::metadata) metadata_ += piece;
      remaining_ -= piece.size();
      bytes.remove_prefix(piece.size());
    }
    const std::size_t skipped = remaining_ > 0 ? 0 : std::min(padding_, bytes.size());
    padding_ -= skipped;
    bytes.remove_prefix(skipped);
    if (remaining_ > 0 || padding_ > 0) continue;
    if (state_ == State::data) close_file();
    if (state_ == State::metadata) take_metadata();
    state_ = State::header;
  }
}

// The last write has set the time: only now it can be what the archive says.
void TarTarget::close_file() {
  if (!file_) return;
  const std::array<timespec, 2> times{{{0, UTIME_OMIT}, {current_.mtime, 0}}};
  ::futimens(file_.get(), times.data());
  file_.reset();
}

void TarTarget::finish() const {
  if (remaining_ > 0 || padding_ > 0 || !block_.empty()) throw malformed("unexpected end");
}

TarTarget::Header TarTarget::parse_header() const {
  Header out;
  out.name = text_field(block_, 0, 100);
  const std::string prefix = text_field(block_, 345, 155);
  if (block_.compare(257, 6, std::string("ustar\0", 6)) == 0 && !prefix.empty())
    out.name = concat(prefix, "/", out.name);
  out.mode = static_cast<mode_t>(number_field(block_, 100, 8) & 07777);
  out.uid = static_cast<uid_t>(number_field(block_, 108, 8));
  out.gid = static_cast<gid_t>(number_field(block_, 116, 8));
  out.size = number_field(block_, 124, 12);
  out.mtime = static_cast<std::int64_t>(number_field(block_, 136, 12));
  out.type = block_[156] == '\0' ? '0' : block_[156];
  out.link = text_field(block_, 157, 100);
  out.major = static_cast<unsigned>(number_field(block_, 329, 8));
  out.minor = static_cast<unsigned>(number_field(block_, 337, 8));
  return out;
}

void TarTarget::begin_entry() {
  if (std::all_of(block_.begin(), block_.end(), [](char c) { return c == '\0'; })) {
    state_ = State::ended;
    block_.clear();
    return;
  }
  Header header = parse_header();
  block_.clear();
  const bool metadata = header.type == 'x' || header.type == 'g' || header.type == 'L' || header.type == 'K';
  if (!metadata) {
    if (!long_name_.empty()) header.name = std::exchange(long_name_, "");
    if (!long_link_.empty()) header.link = std::exchange(long_link_, "");
    if (const auto path = pax_.find("path"); path != pax_.end()) header.name = path->second;
    if (const auto link = pax_.find("linkpath"); link != pax_.end()) header.link = link->second;
    apply(pax_, "size", header.size);
    apply(pax_, "uid", header.uid);
    apply(pax_, "gid", header.gid);
    apply(pax_, "mtime", header.mtime);
    pax_.clear();
  }
  const bool has_data = metadata || header.type == '0' || header.type == '7';
  remaining_ = has_data ? header.size : 0;
  padding_ = (block_bytes - remaining_ % block_bytes) % block_bytes;
  current_ = header;
  if (metadata) {
    if (header.size > max_metadata_bytes) throw malformed("a header is too long");
    metadata_.clear();
    state_ = State::metadata;
    return;
  }
  create(header);
  state_ = file_ ? State::data : State::skip;
  if (remaining_ == 0 && padding_ == 0) {
    close_file();
    state_ = State::header;
  }
}

void TarTarget::take_metadata() {
  const std::string text = metadata_.substr(0, metadata_.find('\0'));
  if (current_.type == 'L') long_name_ = text;
  if (current_.type == 'K') long_link_ = text;
  if (current_.type != 'x') return;
  std::string_view rest = metadata_;
  while (!rest.empty()) {
    std::size_t length = 0;
    const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    if (failure != std::errc{} || length <= digits + 1 || length > rest.size()) throw malformed("bad pax record");
    const std::string_view record = rest.substr(digits + 1, length - digits - 2);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) throw malformed("bad pax record");
    pax_[std::string(record.substr(0, equals))] = std::string(record.substr(equals + 1));
    rest.remove_prefix(length);
  }
}

std::string TarTarget::target_name(const std::string& name) const {
  std::vector<std::string> parts = components_of(name);
  if (!from_.empty() && !parts.empty()) {
    if (parts[0] != from_) throw malformed(concat("\"", name, "\" is not below \"", from_, "\""));
    if (to_.empty()) {
      parts.erase(parts.begin());
    } else {
      parts[0] = to_;
    }
  }
  return join(parts, "/");
}

UniqueFd TarTarget::open_parent(const std::string& name, std::string& leaf) const {
  std::vector<std::string> parts = split(name, '/');
  leaf = parts.back();
  parts.pop_back();
  UniqueFd parent = duplicate_fd(root_.get());
  for (const std::string& part : parts) {
    if (::mkdirat(parent.get(), part.c_str(), 0755) != 0 && errno != EEXIST) throw sys_error("mkdir ", name);
    parent = open_beneath(parent.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
  return parent;
}

void TarTarget::create(const Header& header) {
  const std::string name = target_name(header.name);
  if (name.empty()) return;
  std::string leaf;
  const UniqueFd parent = open_parent(name, leaf);
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  int failed = 0;
  if (header.type == '5') {
    failed = ::mkdirat(parent.get(), leaf.c_str(), header.mode) != 0 && errno != EEXIST ? -1 : 0;
  } else {
    struct stat existing{};
    const bool exists = ::fstatat(parent.get(), leaf.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && S_ISDIR(existing.st_mode)) {
      throw Error(ErrorKind::conflict,
                  concat("cannot overwrite directory \"", name, "\" with non-directory \"", header.name, "\""));
    }
    if (exists) ::unlinkat(parent.get(), leaf.c_str(), 0);
    if (header.type == '0' || header.type == '7') {
      file_ = open_at(parent.get(), leaf, flags, header.mode);
      content_bytes_ += header.size;
    } else if (header.type == '2') {
      failed = ::symlinkat(header.link.c_str(), parent.get(), leaf.c_str());
    } else if (header.type == '1') {
      std::string link_leaf;
      const UniqueFd link_parent = open_parent(target_name(header.link), link_leaf);
      failed = ::linkat(link_parent.get(), link_leaf.c_str(), parent.get(), leaf.c_str(), 0);
    } else {
      const mode_t kind = header.type == '3' ? S_IFCHR : header.type == '4' ? S_IFBLK : S_IFIFO;
      failed = ::mknodat(parent.get(), leaf.c_str(), kind | header.mode, ::gnu_dev_makedev(header.major, header.minor));
    }
  }
  if (failed != 0) throw sys_error("create ", name);
  if (header.type != '1') set_attributes(parent.get(), leaf, header);
}

void TarTarget::set_attributes(int parent, const std::string& leaf, const Header& header) const {
  const uid_t uid = ownership_ == Ownership::archive ? header.uid : ::geteuid();
  const gid_t gid = ownership_ == Ownership::archive ? header.gid : ::getegid();
  if (::fchownat(parent, leaf.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0 && errno != EPERM)
    throw sys_error("chown ", leaf);
  if (header.type == '2') return;
  if (::fchmodat(parent, leaf.c_str(), header.mode, 0) != 0) throw sys_error("chmod ", leaf);
  const std::array<timespec, 2> times{{{0, UTIME_OMIT}, {header.mtime, 0}}};
  if (header.type != '0' && header.type != '7') ::utimensat(parent, leaf.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
}

}  // namespace mydocker::cli
