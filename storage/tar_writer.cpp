#include "storage/tar_writer.h"

#include <algorithm>
#include <cstring>

namespace mydocker::storage {
namespace {

constexpr std::uint64_t largest_octal_id = 07777777;
constexpr std::uint64_t largest_octal_size = 077777777777;
constexpr char zeros[tar_block_bytes] = {};

char flag_of(TarType type) {
  switch (type) {
    case TarType::file:
      return '0';
    case TarType::hard_link:
      return '1';
    case TarType::symlink:
      return '2';
    case TarType::character_device:
      return '3';
    case TarType::block_device:
      return '4';
    case TarType::directory:
      return '5';
    case TarType::fifo:
      return '6';
  }
  return '0';
}

std::string pax_records(const TarEntry& entry) {
  std::string out;
  const auto add = [&out](bool needed, std::string_view key, std::string_view value) {
    if (needed) out += make_pax_record(key, value);
  };
  add(entry.name.size() > tar_field::name.length, "path", entry.name);
  add(entry.link_name.size() > tar_field::link_name.length, "linkpath", entry.link_name);
  add(entry.stored_bytes > largest_octal_size, "size", std::to_string(entry.stored_bytes));
  add(entry.uid > largest_octal_id, "uid", std::to_string(entry.uid));
  add(entry.gid > largest_octal_id, "gid", std::to_string(entry.gid));
  add(entry.mtime_seconds < 0, "mtime", std::to_string(entry.mtime_seconds));
  for (const auto& [name, value] : entry.xattrs) add(true, "SCHILY.xattr." + name, value);
  return out;
}

TarBlock make_header(std::string_view name, char flag, std::uint64_t size) {
  TarBlock block{};
  set_text(block, tar_field::name, name);
  set_number(block, tar_field::size, size);
  block[tar_field::type.offset] = flag;
  std::memcpy(block.data() + tar_field::magic.offset, "ustar\00000", tar_field::magic.length);
  return block;
}

}  // namespace

void TarWriter::add(const TarEntry& entry) {
  const auto put = [this](TarBlock& block) {
    set_checksum(block);
    sink_(std::string_view(block.data(), block.size()));
  };
  if (const std::string records = pax_records(entry); !records.empty()) {
    TarBlock block = make_header("PaxHeaders/x", 'x', records.size());
    set_number(block, tar_field::mode, 0644);
    put(block);
    sink_(records);
    sink_(std::string_view(zeros, static_cast<std::size_t>(padding_after(records.size()))));
  }
  TarBlock block = make_header(entry.name, flag_of(entry.type), std::min(entry.stored_bytes, largest_octal_size));
  set_number(block, tar_field::mode, entry.mode);
  set_number(block, tar_field::uid, std::min<std::uint64_t>(entry.uid, largest_octal_id));
  set_number(block, tar_field::gid, std::min<std::uint64_t>(entry.gid, largest_octal_id));
  set_number(block, tar_field::mtime, entry.mtime_seconds < 0 ? 0 : static_cast<std::uint64_t>(entry.mtime_seconds));
  set_text(block, tar_field::link_name, entry.link_name);
  set_number(block, tar_field::major, entry.device_major);
  set_number(block, tar_field::minor, entry.device_minor);
  put(block);
  promised_ = left_ = entry.stored_bytes;
}

void TarWriter::data(std::string_view bytes) {
  const std::string_view part = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_)));
  sink_(part);
  left_ -= part.size();
}

void TarWriter::end_data() {
  std::uint64_t zeros_left = left_ + padding_after(promised_);
  while (zeros_left > 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(zeros_left, sizeof zeros));
    sink_(std::string_view(zeros, part));
    zeros_left -= part;
  }
  promised_ = left_ = 0;
}

void TarWriter::finish() {
  for (int i = 0; i < 2; ++i) sink_(std::string_view(zeros, sizeof zeros));
}

}  // namespace mydocker::storage
