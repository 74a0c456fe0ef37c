#include "image/archive_spool.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <vector>

#include "engine/base/failpoint.h"
#include "engine/base/path.h"
#include "engine/base/sys.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{256} << 10;
constexpr int max_links = 8;

Error not_an_archive(std::string_view why) {
  return Error(ErrorKind::invalid_argument, concat("invalid image archive: ", why));
}

}  // namespace

struct ArchiveSpool::Source {
  int fd = -1;
  std::stop_token stop;
  std::vector<char> buffer = std::vector<char>(buffer_bytes);
  std::uint64_t bytes_read = 0;
  std::exception_ptr failure;

  static la_ssize_t read(archive* /*unused*/, void* user, const void** block) noexcept {
    auto& source = *static_cast<Source*>(user);
    try {
      if (source.stop.stop_requested()) throw Error(ErrorKind::unavailable, "load was cancelled");
      const ssize_t got = retry_on_eintr([&] { return ::read(source.fd, source.buffer.data(), source.buffer.size()); });
      if (got < 0) throw sys_error("read");
      source.bytes_read += static_cast<std::uint64_t>(got);
      *block = source.buffer.data();
      return got;
    } catch (...) {  // must not cross the C library; read_stream() throws it on
      source.failure = std::current_exception();
      return -1;
    }
  }
};

std::string normalize_archive_name(std::string_view name) { return clean_path(name).substr(1); }

ArchiveSpool::ArchiveSpool(int fd, const std::string& tmp_dir, const std::stop_token& stop)
    : directory_(concat(tmp_dir, "/load-", random_hex(8))) {
  make_dirs(directory_, 0700);
  try {
    directory_fd_ = open_file(directory_, O_RDONLY | O_DIRECTORY);
    Source source;
    source.fd = fd;
    source.stop = stop;
    read_stream(source);
  } catch (...) {
    remove_tree(directory_);
    throw;
  }
}

ArchiveSpool::~ArchiveSpool() {
  try {
    remove_tree(directory_);
  } catch (const Error&) {  // the next start empties tmp/
  }
}

void ArchiveSpool::read_stream(Source& source) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  if (!reader) throw Error(ErrorKind::internal, "libarchive: out of memory");
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  const auto check = [&](int result) {
    if (source.failure) std::rethrow_exception(source.failure);
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN || result == ARCHIVE_EOF) return;
    const char* text = archive_error_string(reader.get());
    throw not_an_archive(text != nullptr ? text : "unreadable");
  };
  check(archive_read_open(reader.get(), &source, nullptr, Source::read, nullptr));
  std::uint64_t plain_bytes = 0;
  std::uint64_t next_number = 0;
  for (archive_entry* entry = nullptr;;) {
    const int result = archive_read_next_header(reader.get(), &entry);
    check(result);
    if (result == ARCHIVE_EOF) return;
    const char* raw_name = archive_entry_pathname(entry);
    if (raw_name == nullptr) throw not_an_archive("entry without a name");
    const std::string name = normalize_archive_name(raw_name);
    if (name.size() > max_archive_name) throw not_an_archive("entry with an overlong name");
    if (next_number >= max_archive_entries) throw Error(ErrorKind::too_large, "image archive has too many entries");
    Entry out;
    out.number = next_number++;
    if (const char* target = archive_entry_hardlink(entry)) {
      out.link = normalize_archive_name(target);
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      const std::size_t slash = name.rfind('/');
      const std::string parent = slash == std::string::npos ? "" : name.substr(0, slash + 1);
      const char* symlink = archive_entry_symlink(entry);
      out.link = normalize_archive_name(concat(parent, symlink == nullptr ? "" : symlink));
    } else if (archive_entry_filetype(entry) == AE_IFREG) {
      failpoint("load.spool");
      const UniqueFd file =
          open_at(directory_fd_.get(), std::to_string(out.number), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      for (;;) {
        const int got = archive_read_data_block(reader.get(), &block, &size, &offset);
        check(got);
        if (got == ARCHIVE_EOF) break;
        if (offset != out.size) throw not_an_archive("sparse entries are not supported");
        write_all(file.get(), {static_cast<const char*>(block), size});
        out.size += static_cast<std::int64_t>(size);
        plain_bytes += size;
        if (plain_bytes > free_inflate_bytes && plain_bytes / max_inflate_ratio > source.bytes_read) {
          throw Error(ErrorKind::too_large, concat("image archive expands more than ", max_inflate_ratio, " times"));
        }
      }
    } else {
      continue;
    }
    // A name that comes twice means its last content.
    entries_.insert_or_assign(name, std::move(out));
  }
}

const ArchiveSpool::Entry& ArchiveSpool::get(std::string_view name) const {
  std::string wanted = normalize_archive_name(name);
  for (int links = 0; links < max_links; ++links) {
    const auto found = entries_.find(wanted);
    if (found == entries_.end()) break;
    if (found->second.link.empty()) return found->second;
    wanted = found->second.link;
  }
  throw not_an_archive(concat("no file \"", name.substr(0, 256), "\""));
}

bool ArchiveSpool::contains(std::string_view name) const { return entries_.contains(name); }

UniqueFd ArchiveSpool::open(std::string_view name) const {
  return open_at(directory_fd_.get(), std::to_string(get(name).number), O_RDONLY);
}

std::int64_t ArchiveSpool::size_bytes(std::string_view name) const { return get(name).size; }

std::string ArchiveSpool::read(std::string_view name, std::size_t limit) const {
  if (static_cast<std::uint64_t>(size_bytes(name)) > limit) {
    throw Error(ErrorKind::too_large, concat("image archive: ", name.substr(0, 256), " is too large"));
  }
  return read_all(open(name).get(), limit, "image archive");
}

}  // namespace mydocker::image
