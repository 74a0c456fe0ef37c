#include "tests/unit/storage/tar_builder.h"

#include <cstring>

namespace mydocker::storage::test {
namespace {

RawHeader header_of(std::string_view name, char type, std::uint64_t mode) {
  RawHeader header;
  header.name = name;
  header.type = type;
  header.mode = mode;
  return header;
}

}  // namespace

TarBlock RawHeader::block() const {
  TarBlock out{};
  set_text(out, tar_field::name, name);
  set_number(out, tar_field::mode, mode);
  set_number(out, tar_field::uid, uid);
  set_number(out, tar_field::gid, gid);
  set_number(out, tar_field::size, size);
  set_number(out, tar_field::mtime, mtime);
  out[tar_field::type.offset] = type;
  set_text(out, tar_field::link_name, link_name);
  const std::string_view magic = gnu ? std::string_view("ustar  \0", 8) : std::string_view("ustar\00000", 8);
  std::memcpy(out.data() + tar_field::magic.offset, magic.data(), magic.size());
  set_number(out, tar_field::major, major);
  set_number(out, tar_field::minor, minor);
  if (!gnu) set_text(out, tar_field::prefix, prefix);
  set_checksum(out);
  return out;
}

TarBytes& TarBytes::raw(const RawHeader& header, std::string_view content) {
  const TarBlock block = header.block();
  bytes_.append(block.data(), block.size());
  bytes_ += content;
  bytes_.append(static_cast<std::size_t>(padding_after(content.size())), '\0');
  return *this;
}

TarBytes& TarBytes::block(TarBlock block) {
  set_checksum(block);
  bytes_.append(block.data(), block.size());
  return *this;
}

TarBytes& TarBytes::bytes(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

TarBytes& TarBytes::file(std::string_view name, std::string_view content, std::uint64_t mode) {
  if (name.size() > tar_field::name.length) gnu_long('L', name);
  RawHeader header = header_of(name, '0', mode);
  header.size = content.size();
  return raw(header, content);
}

TarBytes& TarBytes::directory(std::string_view name, std::uint64_t mode) { return raw(header_of(name, '5', mode)); }

TarBytes& TarBytes::symlink(std::string_view name, std::string_view target) {
  if (target.size() > tar_field::link_name.length) gnu_long('K', target);
  RawHeader header = header_of(name, '2', 0777);
  header.link_name = target;
  return raw(header);
}

TarBytes& TarBytes::hard_link(std::string_view name, std::string_view target) {
  if (target.size() > tar_field::link_name.length) gnu_long('K', target);
  RawHeader header = header_of(name, '1', 0644);
  header.link_name = target;
  return raw(header);
}

TarBytes& TarBytes::node(std::string_view name, char type, std::uint64_t major, std::uint64_t minor) {
  RawHeader header = header_of(name, type, 0644);
  header.major = major;
  header.minor = minor;
  return raw(header);
}

TarBytes& TarBytes::pax(const std::vector<std::pair<std::string, std::string>>& records, char type) {
  std::string body;
  for (const auto& [key, value] : records) body += make_pax_record(key, value);
  RawHeader header = header_of("PaxHeaders/x", type, 0644);
  header.size = body.size();
  return raw(header, body);
}

TarBytes& TarBytes::gnu_long(char type, std::string_view text) {
  RawHeader header = header_of("././@LongLink", type, 0);
  header.gnu = true;
  std::string body(text);
  body.push_back('\0');
  header.size = body.size();
  return raw(header, body);
}

}  // namespace mydocker::storage::test
