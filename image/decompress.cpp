#include "image/decompress.h"

#include <archive.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

constexpr std::size_t buffer_bytes = std::size_t{256} << 10;
constexpr std::size_t magic_bytes = 6;

Error broken(std::string_view what) { return Error(ErrorKind::invalid_argument, std::string(what)); }

/// Refuses what comes out far bigger than it went in.
void check_ratio(std::uint64_t bytes_in, std::uint64_t bytes_out) {
  if (bytes_out > free_inflate_bytes && bytes_out / max_inflate_ratio > bytes_in) {
    throw Error(ErrorKind::too_large, concat("compressed data expands more than ", max_inflate_ratio, " times"));
  }
}

}  // namespace

Compression detect_compression(std::string_view beginning) noexcept {
  using namespace std::string_view_literals;
  if (beginning.starts_with("\x1f\x8b"sv)) return Compression::gzip;
  if (beginning.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::zstd;
  // A skippable frame (0x184D2A50 to 5F) may come first: stargz and seekable zstd put one there.
  if (beginning.size() >= 4 && (static_cast<unsigned char>(beginning[0]) & 0xf0U) == 0x50U &&
      beginning.substr(1, 3) == "\x2a\x4d\x18"sv) {
    return Compression::zstd;
  }
  if (beginning.starts_with("\xfd\x37\x7a\x58\x5a\x00"sv)) return Compression::xz;
  if (beginning.starts_with("BZh"sv)) return Compression::bzip2;
  return Compression::plain;
}

class Decompressor::Codec {
 public:
  virtual ~Codec() = default;
  virtual void write(Decompressor& to, std::string_view data) = 0;
  virtual void finish() = 0;
};

class Decompressor::Plain final : public Codec {
 public:
  void write(Decompressor& to, std::string_view data) override { to.emit(data); }
  void finish() override {}
};

class Decompressor::Gzip final : public Codec {
 public:
  Gzip() : state_(std::make_unique<inflate_state>()), out_(buffer_bytes) { restart(); }

  void write(Decompressor& to, std::string_view data) override {
    state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(data.data()));
    state_->avail_in = static_cast<std::uint32_t>(data.size());
    for (;;) {
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        if (state_->avail_in == 0) return;
        restart();  // another member follows
      }
      state_->next_out = out_.data();
      state_->avail_out = static_cast<std::uint32_t>(out_.size());
      const int result = isal_inflate(state_.get());
      if (result < 0) throw broken(concat("gzip: invalid data (", result, ")"));
      const std::size_t produced = out_.size() - state_->avail_out;
      if (produced > 0) to.emit({reinterpret_cast<const char*>(out_.data()), produced});
      const bool output_was_full = state_->avail_out == 0;
      if (state_->avail_in == 0 && !output_was_full && state_->block_state != ISAL_BLOCK_FINISH) return;
    }
  }

  void finish() override {
    if (state_->block_state != ISAL_BLOCK_FINISH) throw broken("gzip: unexpected end of data");
  }

 private:
  /// isal_inflate_reset forgets flags and input position: both are put back.
  void restart() {
    std::uint8_t* const next_in = state_->next_in;
    const std::uint32_t avail_in = state_->avail_in;
    if (!started_) {
      isal_inflate_init(state_.get());
      started_ = true;
    } else {
      isal_inflate_reset(state_.get());
    }
    state_->crc_flag = ISAL_GZIP;
    state_->next_in = next_in;
    state_->avail_in = avail_in;
  }

  std::unique_ptr<inflate_state> state_;
  std::vector<std::uint8_t> out_;
  bool started_ = false;
};

class Decompressor::Zstd final : public Codec {
 public:
  Zstd() : stream_(ZSTD_createDStream(), ZSTD_freeDStream), out_(buffer_bytes) {
    if (!stream_) throw Error(ErrorKind::internal, "zstd: out of memory");
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, max_zstd_window_log);
  }

  void write(Decompressor& to, std::string_view data) override {
    ZSTD_inBuffer in{data.data(), data.size(), 0};
    bool output_was_full = false;
    while (in.pos < in.size || output_was_full) {
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const std::size_t before = in.pos;
      const std::size_t result = ZSTD_decompressStream(stream_.get(), &out, &in);
      if (ZSTD_isError(result) != 0U) throw broken(concat("zstd: ", ZSTD_getErrorName(result)));
      if (out.pos > 0) to.emit({out_.data(), out.pos});
      output_was_full = out.pos == out.size;
      // After a frame's end a call without input returns the header size of a next frame: that is not an open frame.
      if (in.pos > before || out.pos > 0) complete_ = result == 0;
    }
  }

  void finish() override {
    if (!complete_) throw broken("zstd: unexpected end of data");
  }

 private:
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> out_;
  bool complete_ = false;
};

Decompressor::Decompressor(Sink sink) : sink_(std::move(sink)) {}

Decompressor::~Decompressor() = default;

void Decompressor::choose() {
  switch (detect_compression(pending_)) {
    case Compression::plain:
      codec_ = std::make_unique<Plain>();
      break;
    case Compression::gzip:
      codec_ = std::make_unique<Gzip>();
      break;
    case Compression::zstd:
      codec_ = std::make_unique<Zstd>();
      break;
    case Compression::xz:
      throw broken("xz compressed layers are not supported");
    case Compression::bzip2:
      throw broken("bzip2 compressed layers are not supported");
  }
  const std::string beginning = std::move(pending_);
  pending_.clear();
  if (!beginning.empty()) codec_->write(*this, beginning);
}

void Decompressor::emit(std::string_view plain) {
  bytes_out_ += plain.size();
  check_ratio(bytes_in_, bytes_out_);
  sink_(plain);
}

void Decompressor::write(std::string_view data) {
  bytes_in_ += data.size();
  if (codec_) {
    // The codecs count in 32 bits.
    for (constexpr std::size_t step = std::size_t{1} << 30; !data.empty();) {
      codec_->write(*this, data.substr(0, step));
      data.remove_prefix(std::min(step, data.size()));
    }
    return;
  }
  const std::size_t taken = std::min(data.size(), magic_bytes - std::min(magic_bytes, pending_.size()));
  pending_.append(data.substr(0, taken));
  if (pending_.size() < magic_bytes) return;
  choose();
  bytes_in_ -= data.size() - taken;  // counted again by the call below
  if (data.size() > taken) write(data.substr(taken));
}

void Decompressor::finish() {
  if (!codec_) choose();
  codec_->finish();
}

namespace {

/// What libarchive reads from: the bytes already taken for detection, then the descriptor.
struct FdSource {
  int fd = -1;
  std::string beginning;
  bool beginning_given = false;
  std::vector<char> buffer = std::vector<char>(buffer_bytes);
  std::uint64_t bytes_read = 0;
  const std::function<void(std::uint64_t)>* on_input = nullptr;
  const std::function<void()>* before_read = nullptr;
  std::exception_ptr failure;

  /// Into the buffer; empty at the end.
  std::string_view read_some() {
    if (*before_read) (*before_read)();
    const ssize_t got = retry_on_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
    if (got < 0) throw sys_error("read");
    bytes_read += static_cast<std::uint64_t>(got);
    if (*on_input && got > 0) (*on_input)(bytes_read);
    return {buffer.data(), static_cast<std::size_t>(got)};
  }
};

la_ssize_t read_source(archive* /*unused*/, void* data, const void** block) {
  auto& source = *static_cast<FdSource*>(data);
  try {
    if (!source.beginning_given) {
      source.beginning_given = true;
      *block = source.beginning.data();
      return static_cast<la_ssize_t>(source.beginning.size());
    }
    const std::string_view some = source.read_some();
    *block = some.data();
    return static_cast<la_ssize_t>(some.size());
  } catch (...) {  // must not cross the C library; decompress_with_libarchive throws it on
    source.failure = std::current_exception();
    return -1;
  }
}

void decompress_with_libarchive(FdSource& source, const Decompressor::Sink& sink) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  if (!reader) throw Error(ErrorKind::internal, "libarchive: out of memory");
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_format_raw(reader.get());
  const auto check = [&](la_ssize_t result) {
    if (source.failure) std::rethrow_exception(source.failure);
    if (result < ARCHIVE_WARN) {
      const char* text = archive_error_string(reader.get());
      throw broken(concat("decompress: ", text != nullptr ? text : "invalid data"));
    }
  };
  check(archive_read_open(reader.get(), &source, nullptr, read_source, nullptr));
  archive_entry* entry = nullptr;
  const int begun = archive_read_next_header(reader.get(), &entry);
  if (begun == ARCHIVE_EOF) return;
  check(begun);
  std::vector<char> out(buffer_bytes);
  std::uint64_t bytes_out = 0;
  for (;;) {
    const la_ssize_t got = archive_read_data(reader.get(), out.data(), out.size());
    check(got);
    if (got == 0) return;
    bytes_out += static_cast<std::uint64_t>(got);
    check_ratio(source.bytes_read, bytes_out);
    sink({out.data(), static_cast<std::size_t>(got)});
  }
}

}  // namespace

void decompress_fd(int fd, const Decompressor::Sink& sink, const std::function<void(std::uint64_t)>& on_input,
                   const std::function<void()>& before_read) {
  FdSource source;
  source.fd = fd;
  source.on_input = &on_input;
  source.before_read = &before_read;
  while (source.beginning.size() < magic_bytes) {
    const std::string_view some = source.read_some();
    if (some.empty()) break;
    source.beginning.append(some);
  }
  const Compression kind = detect_compression(source.beginning);
  if (kind == Compression::xz || kind == Compression::bzip2) {
    decompress_with_libarchive(source, sink);
    return;
  }
  Decompressor decompressor(sink);
  decompressor.write(source.beginning);
  for (;;) {
    const std::string_view some = source.read_some();
    if (some.empty()) break;
    decompressor.write(some);
  }
  decompressor.finish();
}

}  // namespace mydocker::image
