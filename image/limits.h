#pragma once

#include <cstddef>
#include <cstdint>

/// What images and registries may cost (SECURITY 7). Checked before memory is committed.
namespace mydocker::image {

inline constexpr std::size_t max_manifest_bytes = std::size_t{4} << 20;
inline constexpr std::size_t max_manifest_layers = 512;
inline constexpr std::size_t max_index_descriptors = 1000;
inline constexpr int max_index_depth = 3;
inline constexpr std::size_t max_config_bytes = std::size_t{8} << 20;
inline constexpr std::size_t max_token_bytes = std::size_t{1} << 20;
inline constexpr std::size_t max_error_bytes = std::size_t{64} << 10;
inline constexpr std::size_t max_tag_page_bytes = std::size_t{4} << 20;
inline constexpr int max_tag_pages = 1000;
inline constexpr int max_redirects = 5;
inline constexpr std::size_t max_response_header_bytes = std::size_t{64} << 10;

/// Plain bytes may be this many times the compressed ones, once more than the free amount came out.
inline constexpr std::uint64_t max_inflate_ratio = 200;
inline constexpr std::uint64_t free_inflate_bytes = std::uint64_t{64} << 20;
inline constexpr int max_zstd_window_log = 27;  ///< 128 MiB

inline constexpr std::size_t max_archive_entries = 100000;
inline constexpr std::size_t max_archive_name = 4096;
inline constexpr std::size_t max_archive_json_bytes = std::size_t{8} << 20;
inline constexpr std::size_t max_labels_bytes = std::size_t{1} << 20;

}  // namespace mydocker::image
