#include "storage/tar_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
constexpr std::uint64_t largest_size = std::uint64_t{1} << 62;
constexpr std::string_view xattr_prefix = "SCHILY.xattr.";
constexpr std::string_view sparse_prefix = "GNU.sparse.";

template <typename... Pieces>
Error broken(const Pieces&... pieces) {
  return Error(ErrorKind::invalid_argument, concat("tar: ", pieces...));
}

std::uint64_t unsigned_field(const TarBlock& block, TarField field, std::string_view what) {
  const std::optional<std::int64_t> value = number_field(block, field);
  if (!value || *value < 0) throw broken("header with an invalid ", what);
  return static_cast<std::uint64_t>(*value);
}

std::uint32_t checked_id(std::uint64_t value, std::string_view what) {
  // 2^32-1 means "leave unchanged" to chown(2).
  if (value >= 0xFFFFFFFFU) throw broken(what, " ", value, " is out of range");
  return static_cast<std::uint32_t>(value);
}

std::uint64_t pax_number(std::string_view key, std::string_view value) {
  const std::optional<std::uint64_t> number = parse_decimal(value);
  if (!number) throw broken("pax record ", key, " is not a number");
  return *number;
}

/// "-12.5" is 12.5 seconds before 1970.
void set_pax_time(TarEntry& entry, std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view number = text.substr(negative ? 1 : 0);
  const std::size_t dot = number.find('.');
  std::string fraction(dot == std::string_view::npos ? std::string_view() : number.substr(dot + 1));
  fraction.resize(9, '0');
  const std::optional<std::uint64_t> seconds = parse_decimal(number.substr(0, dot));
  const std::optional<std::uint64_t> nanoseconds = parse_decimal(fraction);
  if (!seconds || *seconds >= largest_size || !nanoseconds) throw broken("pax record mtime is not a time");
  entry.mtime_seconds = static_cast<std::int64_t>(*seconds);
  entry.mtime_nanoseconds = static_cast<std::uint32_t>(*nanoseconds);
  if (negative) {
    entry.mtime_seconds = -entry.mtime_seconds;
    if (entry.mtime_nanoseconds != 0) {
      --entry.mtime_seconds;
      entry.mtime_nanoseconds = 1'000'000'000 - entry.mtime_nanoseconds;
    }
  }
}

std::optional<TarType> type_of(char flag) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      return TarType::file;
    case '1':
      return TarType::hard_link;
    case '2':
      return TarType::symlink;
    case '3':
      return TarType::character_device;
    case '4':
      return TarType::block_device;
    case '5':
      return TarType::directory;
    case '6':
      return TarType::fifo;
    default:
      return std::nullopt;
  }
}

std::string header_name(const TarBlock& header) {
  const std::string_view magic(header.data() + tar_field::magic.offset, tar_field::magic.length);
  std::string name(text_field(header, tar_field::name));
  // GNU ("ustar  ") keeps times where ustar has its prefix; star's is shorter.
  if (!magic.starts_with(std::string_view("ustar\0", 6))) return name;
  const std::string_view star(header.data() + tar_field::star_magic.offset, tar_field::star_magic.length);
  const bool is_star = star == std::string_view("tar\0", 4);
  const std::string_view prefix = text_field(header, is_star ? tar_field::star_prefix : tar_field::prefix);
  return prefix.empty() ? name : concat(prefix, "/", name);
}

}  // namespace

/// What the headers before a member said about it.
struct TarReader::Extensions {
  std::optional<std::string> gnu_name, gnu_link_name;
  std::optional<std::string> path, link_path, mtime;
  std::optional<std::uint64_t> size, uid, gid;
  std::vector<std::pair<std::string, std::string>> xattrs;
  std::optional<std::string> sparse_name, sparse_map;
  std::optional<std::uint64_t> sparse_major, sparse_minor, sparse_size;
  std::vector<std::uint64_t> sparse_numbers;  ///< GNU.sparse 0.0: offset, length, offset, ...

  void set(std::string_view key, std::string_view value);
  void set_sparse(std::string_view key, std::string_view value);
};

void TarReader::Extensions::set(std::string_view key, std::string_view value) {
  const auto text = [&]() -> std::optional<std::string> {
    if (value.find('\0') != std::string_view::npos) throw broken("pax record ", key, " with a NUL");
    return value.empty() ? std::nullopt : std::optional<std::string>(value);  // empty: the header's own field counts
  };
  const auto number = [&]() -> std::optional<std::uint64_t> {
    return value.empty() ? std::nullopt : std::optional<std::uint64_t>(pax_number(key, value));
  };
  if (key == "path") {
    path = text();
  } else if (key == "linkpath") {
    link_path = text();
  } else if (key == "mtime") {
    mtime = text();
  } else if (key == "size") {
    size = number();
  } else if (key == "uid") {
    uid = number();
  } else if (key == "gid") {
    gid = number();
  } else if (key.starts_with(xattr_prefix)) {
    xattrs.emplace_back(key.substr(xattr_prefix.size()), value);
  } else if (key.starts_with(sparse_prefix)) {
    set_sparse(key.substr(sparse_prefix.size()), value);
  }
}

void TarReader::Extensions::set_sparse(std::string_view key, std::string_view value) {
  if (key == "name") {
    if (value.find('\0') != std::string_view::npos) throw broken("pax record GNU.sparse.name with a NUL");
    sparse_name = std::string(value);
  } else if (key == "map") {
    sparse_map = std::string(value);
  } else if (key == "major") {
    sparse_major = pax_number(key, value);
  } else if (key == "minor") {
    sparse_minor = pax_number(key, value);
  } else if (key == "size" || key == "realsize") {
    sparse_size = pax_number(key, value);
  } else if (key == "offset" || key == "numbytes") {
    if ((sparse_numbers.size() % 2 == 0) != (key == "offset")) throw broken("sparse map out of order");
    sparse_numbers.push_back(pax_number(key, value));
  }
}

void write_data(int fd, std::string_view path, TarData data) {
  while (!data.bytes.empty()) {
    const ssize_t done = retry_on_eintr(
        [&] { return ::pwrite(fd, data.bytes.data(), data.bytes.size(), static_cast<off_t>(data.offset)); });
    if (done < 0) throw sys_error("write ", path);
    data.bytes.remove_prefix(static_cast<std::size_t>(done));
    data.offset += static_cast<std::uint64_t>(done);
  }
}

TarReader::TarReader(ByteSource source, LiteralSink literal, const UnpackLimits& limits)
    : source_(std::move(source)), literal_(std::move(literal)), limits_(limits), buffer_(buffer_bytes) {}

std::string_view TarReader::view(std::size_t at_most) {
  if (begin_ == end_) {
    begin_ = 0;
    end_ = source_(buffer_.data(), buffer_.size());
  }
  return std::string_view(buffer_.data() + begin_, std::min(at_most, end_ - begin_));
}

void TarReader::consume(std::size_t bytes) { begin_ += bytes; }

bool TarReader::read_block(TarBlock& block) {
  std::size_t have = 0;
  while (have < block.size()) {
    const std::string_view bytes = view(block.size() - have);
    if (bytes.empty() && have == 0) return false;
    if (bytes.empty()) throw broken("unexpected end of the archive");
    std::memcpy(block.data() + have, bytes.data(), bytes.size());
    have += bytes.size();
    consume(bytes.size());
  }
  literal_(std::string_view(block.data(), block.size()));
  return true;
}

void TarReader::pass_on(std::uint64_t bytes) {
  while (bytes > 0) {
    const std::string_view part = view(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, buffer_bytes)));
    if (part.empty()) throw broken("unexpected end of the archive");
    literal_(part);
    bytes -= part.size();
    consume(part.size());
  }
}

std::string TarReader::read_special(std::uint64_t size) {
  if (size > limits_.special_bytes) {
    throw Error(ErrorKind::too_large, concat("tar: extension header of ", size, " bytes"));
  }
  std::string body;
  while (body.size() < size) {
    const std::string_view part = view(static_cast<std::size_t>(size) - body.size());
    if (part.empty()) throw broken("unexpected end of the archive");
    body += part;
    literal_(part);
    consume(part.size());
  }
  pass_on(padding_after(size));
  return body;
}

void TarReader::finish_entry() {
  pass_on(body_left_);
  body_left_ = 0;
  pass_on(padding_left_);
  padding_left_ = 0;
}

void TarReader::count_header() {
  if (++headers_ > 2 * limits_.entries) throw Error(ErrorKind::too_large, "tar: too many headers");
}

void TarReader::apply_pax_records(const std::string& body, Extensions& extensions) const {
  std::string_view rest = body;
  while (!rest.empty()) {
    const std::size_t blank = rest.find(' ');
    const std::optional<std::uint64_t> length = parse_decimal(rest.substr(0, blank));
    if (blank == std::string_view::npos || !length || *length <= blank + 1 || *length > rest.size() ||
        rest[*length - 1] != '\n') {
      throw broken("malformed pax record");
    }
    const std::string_view record = rest.substr(blank + 1, *length - blank - 2);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) throw broken("malformed pax record");
    extensions.set(record.substr(0, equals), record.substr(equals + 1));
    rest.remove_prefix(*length);
  }
}

std::optional<TarEntry> TarReader::next() {
  finish_entry();
  Extensions extensions;
  for (;;) {
    TarBlock header{};
    if (ended_ || !read_block(header)) {
      ended_ = true;
      return std::nullopt;
    }
    if (is_zero(header)) {
      if (read_block(header) && !is_zero(header)) throw broken("invalid header after a zero block");
      ended_ = true;
      return std::nullopt;
    }
    if (!checksum_matches(header)) throw broken("invalid header checksum");
    count_header();
    const std::uint64_t size = unsigned_field(header, tar_field::size, "size");
    switch (header[tar_field::type.offset]) {
      case 'x':
        apply_pax_records(read_special(size), extensions);
        continue;
      case 'g':
      case 'V':
        static_cast<void>(read_special(size));
        continue;
      case 'L':
        extensions.gnu_name = read_special(size).c_str();  // up to the first NUL
        continue;
      case 'K':
        extensions.gnu_link_name = read_special(size).c_str();
        continue;
      default:
        return make_entry(header, extensions);
    }
  }
}

TarEntry TarReader::make_entry(const TarBlock& header, const Extensions& ext) {
  const char flag = header[tar_field::type.offset];
  const std::optional<TarType> type = type_of(flag);
  TarEntry entry;
  entry.name = ext.gnu_name      ? *ext.gnu_name
               : ext.sparse_name ? *ext.sparse_name
               : ext.path        ? *ext.path
                                 : header_name(header);
  if (!type) throw broken("\"", entry.name, "\": unsupported entry type ", int{static_cast<unsigned char>(flag)});
  entry.type = *type;
  entry.link_name = ext.gnu_link_name ? *ext.gnu_link_name
                    : ext.link_path   ? *ext.link_path
                                      : std::string(text_field(header, tar_field::link_name));
  entry.mode = static_cast<std::uint32_t>(unsigned_field(header, tar_field::mode, "mode") & 07777);
  entry.uid = checked_id(ext.uid ? *ext.uid : unsigned_field(header, tar_field::uid, "uid"), "uid");
  entry.gid = checked_id(ext.gid ? *ext.gid : unsigned_field(header, tar_field::gid, "gid"), "gid");
  entry.xattrs = ext.xattrs;
  if (ext.mtime) {
    set_pax_time(entry, *ext.mtime);
  } else {
    const std::optional<std::int64_t> mtime = number_field(header, tar_field::mtime);
    if (!mtime) throw broken("header with an invalid mtime");
    entry.mtime_seconds = *mtime;
  }
  if (entry.type == TarType::character_device || entry.type == TarType::block_device) {
    entry.device_major = checked_id(unsigned_field(header, tar_field::major, "device number"), "device number");
    entry.device_minor = checked_id(unsigned_field(header, tar_field::minor, "device number"), "device number");
  }

  const std::uint64_t size = ext.size ? *ext.size : unsigned_field(header, tar_field::size, "size");
  if (size > largest_size) throw broken("\"", entry.name, "\": invalid size");
  // v7 had no directories but by this sign.
  if (entry.type == TarType::file && flag != 'S' && entry.name.ends_with('/')) entry.type = TarType::directory;
  if (entry.type == TarType::file) {
    entry.stored_bytes = entry.real_bytes = body_left_ = size;
    padding_left_ = padding_after(size);
    if (flag == 'S') {
      read_gnu_sparse_map(header, entry);
    } else if (ext.sparse_major || ext.sparse_map || !ext.sparse_numbers.empty()) {
      read_pax_sparse_map(ext, entry);
    }
  }
  sparse_ = entry.sparse;
  pieces_ = entry.pieces;
  piece_ = 0;
  piece_done_ = file_offset_ = 0;
  return entry;
}

void TarReader::add_piece(TarEntry& entry, std::uint64_t offset, std::uint64_t length) const {
  const std::uint64_t last = entry.pieces.empty() ? 0 : entry.pieces.back().offset + entry.pieces.back().length;
  if (offset > largest_size || length > largest_size || offset < last || offset + length > entry.real_bytes) {
    throw broken("\"", entry.name, "\": invalid sparse map");
  }
  if (entry.pieces.size() >= limits_.sparse_pieces) {
    throw Error(ErrorKind::too_large, concat("tar: \"", entry.name, "\": sparse map too long"));
  }
  if (length > 0) entry.pieces.push_back(TarPiece{offset, length});
}

namespace {

void check_pieces(const TarEntry& entry) {
  std::uint64_t sum = 0;
  for (const TarPiece& piece : entry.pieces) sum += piece.length;  // no overlap and bounded: cannot wrap
  if (sum != entry.stored_bytes) throw broken("\"", entry.name, "\": sparse map does not fit the content");
}

}  // namespace

void TarReader::read_gnu_sparse_map(const TarBlock& header, TarEntry& entry) {
  entry.sparse = true;
  entry.real_bytes = unsigned_field(header, tar_field::gnu_real_size, "sparse size");
  constexpr std::size_t number = 12;
  const auto add_from = [&](const TarBlock& block, TarField field) {
    for (std::size_t at = field.offset; at + 2 * number <= field.offset + field.length; at += 2 * number) {
      if (block[at] == '\0') return;  // unused
      add_piece(entry, unsigned_field(block, {at, number}, "sparse map"),
                unsigned_field(block, {at + number, number}, "sparse map"));
    }
  };
  add_from(header, tar_field::gnu_sparse);
  bool more = header[tar_field::gnu_is_extended.offset] != '\0';
  while (more) {
    TarBlock block{};
    count_header();
    if (!read_block(block)) throw broken("unexpected end of the archive");
    add_from(block, tar_field::gnu_more_sparse);
    more = block[tar_field::gnu_more_is_extended.offset] != '\0';
  }
  check_pieces(entry);
}

void TarReader::read_pax_sparse_map(const Extensions& ext, TarEntry& entry) {
  entry.sparse = true;
  if (!ext.sparse_size) throw broken("\"", entry.name, "\": sparse file without a size");
  entry.real_bytes = *ext.sparse_size;
  if (ext.sparse_major.value_or(0) == 1 && ext.sparse_minor.value_or(0) == 0) {
    read_sparse_map_in_body(entry);
  } else if (ext.sparse_major.value_or(0) != 0) {
    throw broken("\"", entry.name, "\": unknown sparse format");
  } else {
    std::vector<std::uint64_t> numbers = ext.sparse_numbers;
    std::string_view rest = ext.sparse_map ? std::string_view(*ext.sparse_map) : std::string_view();
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      numbers.push_back(pax_number("GNU.sparse.map", rest.substr(0, comma)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (numbers.size() % 2 != 0) throw broken("\"", entry.name, "\": invalid sparse map");
    for (std::size_t i = 0; i < numbers.size(); i += 2) add_piece(entry, numbers[i], numbers[i + 1]);
  }
  check_pieces(entry);
}

/// Format 1.0: decimal lines (count, then offset and length each) in whole blocks before the content.
void TarReader::read_sparse_map_in_body(TarEntry& entry) {
  std::string text;
  std::size_t at = 0;
  std::uint64_t read_bytes = 0;
  const auto next_number = [&]() -> std::uint64_t {
    std::size_t newline;
    while ((newline = text.find('\n', at)) == std::string::npos) {
      if (text.size() - at > 20 || body_left_ < tar_block_bytes) throw broken("\"", entry.name, "\": bad sparse map");
      if (read_bytes >= limits_.special_bytes * 16) {
        throw Error(ErrorKind::too_large, concat("tar: \"", entry.name, "\": sparse map too long"));
      }
      TarBlock block{};
      if (!read_block(block)) throw broken("unexpected end of the archive");
      text.erase(0, at);
      at = 0;
      text.append(block.data(), block.size());
      read_bytes += block.size();
      body_left_ -= block.size();
    }
    const std::string_view digits = std::string_view(text).substr(at, newline - at);
    at = newline + 1;
    return pax_number("GNU.sparse", digits);
  };
  const std::uint64_t count = next_number();
  if (count > limits_.sparse_pieces) {
    throw Error(ErrorKind::too_large, concat("tar: \"", entry.name, "\": sparse map too long"));
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = next_number();
    add_piece(entry, offset, next_number());
  }
  entry.stored_bytes = body_left_;
}

std::optional<TarData> TarReader::read_data() {
  if (body_left_ == 0) return std::nullopt;
  std::uint64_t wanted = body_left_;
  std::uint64_t offset = file_offset_;
  if (sparse_) {
    while (piece_done_ == pieces_[piece_].length) {
      ++piece_;
      piece_done_ = 0;
    }
    wanted = std::min(wanted, pieces_[piece_].length - piece_done_);
    offset = pieces_[piece_].offset + piece_done_;
  }
  const std::string_view bytes = view(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, buffer_bytes)));
  if (bytes.empty()) throw broken("unexpected end of the archive");
  consume(bytes.size());  // the buffer itself stays as it is until the next view()
  body_left_ -= bytes.size();
  piece_done_ += bytes.size();
  file_offset_ += bytes.size();
  return TarData{bytes, offset};
}

void TarReader::drain() {
  finish_entry();
  for (;;) {
    const std::string_view part = view(buffer_bytes);
    if (part.empty()) return;
    literal_(part);
    consume(part.size());
  }
}

}  // namespace mydocker::storage
