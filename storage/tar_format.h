#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The bytes of tar: POSIX.1-2008 pax ("pax Interchange Format", "ustar Interchange Format") and GNU tar's additions
/// (GNU tar manual, "Basic Tar Format", "Storing Sparse Files"). Pure functions and values; any thread.
namespace mydocker::storage {

inline constexpr std::size_t tar_block_bytes = 512;
using TarBlock = std::array<char, tar_block_bytes>;

/// Where a header's field lies.
struct TarField {
  std::size_t offset;
  std::size_t length;
};

namespace tar_field {
inline constexpr TarField name{0, 100}, mode{100, 8}, uid{108, 8}, gid{116, 8}, size{124, 12}, mtime{136, 12},
    checksum{148, 8}, type{156, 1}, link_name{157, 100}, magic{257, 8}, major{329, 8}, minor{337, 8}, prefix{345, 155},
    star_prefix{345, 131}, star_magic{508, 4}, gnu_sparse{386, 96}, gnu_is_extended{482, 1}, gnu_real_size{483, 12},
    gnu_more_sparse{0, 504}, gnu_more_is_extended{504, 1};
}  // namespace tar_field

enum class TarType { file, hard_link, symlink, character_device, block_device, directory, fifo };

struct TarPiece {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// One member of an archive, with all its extension headers applied.
struct TarEntry {
  TarType type = TarType::file;
  std::string name;       ///< as written: may be absolute, may hold ".." and "./"
  std::string link_name;  ///< of hard links and symlinks
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanoseconds = 0;
  std::uint64_t stored_bytes = 0;  ///< what the archive holds of the content
  std::uint64_t real_bytes = 0;    ///< the file's size: more than stored_bytes when it is sparse
  bool sparse = false;
  std::vector<TarPiece> pieces;  ///< of a sparse file, in order, without overlap
  std::vector<std::pair<std::string, std::string>> xattrs;
};

/// The field's bytes up to its first NUL.
std::string_view text_field(const TarBlock& block, TarField field);
/// Octal digits with blanks and NULs around, or GNU's base-256 (which can be negative). nullopt: neither, or too large.
std::optional<std::int64_t> number_field(const TarBlock& block, TarField field);
/// Sum of the header's bytes with the checksum field as blanks, unsigned and (some old writers) signed.
bool checksum_matches(const TarBlock& block);
bool is_zero(const TarBlock& block);
/// Bytes from the end of `size` to the next full block.
constexpr std::uint64_t padding_after(std::uint64_t size) {
  return (tar_block_bytes - size % tar_block_bytes) % tar_block_bytes;
}

/// Writes octal digits, or base-256 when they do not fit.
void set_number(TarBlock& block, TarField field, std::uint64_t value);
void set_text(TarBlock& block, TarField field, std::string_view text);
void set_checksum(TarBlock& block);

/// Decimal digits only; nullopt for anything else or overflow.
std::optional<std::uint64_t> parse_decimal(std::string_view text);
/// One "length key=value\n" of a pax header, its length counted in.
std::string make_pax_record(std::string_view key, std::string_view value);

}  // namespace mydocker::storage
