#include "storage/tar_recipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <charconv>

#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::string_view magic = "mydocker recipe 1\n";
constexpr std::size_t flush_at = 64 * 1024;
constexpr std::size_t longest_record = 1 << 20;
constexpr std::size_t largest_index = std::size_t{256} << 20;
constexpr int compression_level = 1;  // headers repeat so much that more levels gain little

Error broken(std::string_view what) { return Error(ErrorKind::internal, concat("layer recipe: ", what)); }

}  // namespace

struct RecipeWriter::Stream {
  ZSTD_CStream* context = ::ZSTD_createCStream();
  std::vector<char> out = std::vector<char>(::ZSTD_CStreamOutSize());

  Stream() {
    if (context == nullptr) throw broken("no memory");
    ::ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, compression_level);
    ::ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { ::ZSTD_freeCStream(context); }
};

RecipeWriter::RecipeWriter(UniqueFd file) : file_(std::move(file)), stream_(std::make_unique<Stream>()) { put(magic); }
RecipeWriter::~RecipeWriter() = default;

void RecipeWriter::put(std::string_view bytes) {
  plain_ += bytes;
  if (plain_.size() >= flush_at) compress(false);
}

void RecipeWriter::put_number(std::uint64_t value) {
  do {
    const auto low = static_cast<unsigned char>(value & 0x7F);
    value >>= 7;
    plain_.push_back(static_cast<char>(value != 0 ? low | 0x80 : low));
  } while (value != 0);
}

void RecipeWriter::compress(bool end) {
  ZSTD_inBuffer in{plain_.data(), plain_.size(), 0};
  for (;;) {
    ZSTD_outBuffer out{stream_->out.data(), stream_->out.size(), 0};
    const std::size_t left = ::ZSTD_compressStream2(stream_->context, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
    if (::ZSTD_isError(left) != 0) throw broken(::ZSTD_getErrorName(left));
    write_all(file_.get(), std::string_view(stream_->out.data(), out.pos));
    if (end ? left == 0 : in.pos == in.size) break;
  }
  plain_.clear();
}

void RecipeWriter::flush_literal() {
  if (literal_.empty()) return;
  plain_.push_back('L');
  put_number(literal_.size());
  put(literal_);
  literal_.clear();
}

void RecipeWriter::flush_content() {
  if (length_ == 0) return;
  plain_.push_back('C');
  put_number(path_.size());
  plain_ += path_;
  put_number(offset_);
  put_number(length_);
  put({});
  length_ = 0;
  ++records_;
}

void RecipeWriter::literal(std::string_view bytes) {
  flush_content();
  total_ += bytes.size();
  literal_ += bytes;
  if (literal_.size() >= flush_at) flush_literal();
}

void RecipeWriter::content(std::string_view path, std::uint64_t offset, std::uint64_t length) {
  flush_literal();
  total_ += length;
  if (length_ != 0 && path == path_ && offset == offset_ + length_) {
    length_ += length;
    return;
  }
  flush_content();
  path_ = path;
  offset_ = offset;
  length_ = length;
}

std::uint64_t RecipeWriter::content_records() {
  flush_content();
  return records_;
}

void RecipeWriter::finish() {
  flush_literal();
  flush_content();
  plain_.push_back('E');
  put_number(total_);
  compress(true);
}

namespace {

/// Decompresses a recipe record by record.
class RecipeReader {
 public:
  explicit RecipeReader(UniqueFd file) : file_(std::move(file)), context_(::ZSTD_createDStream(), ::ZSTD_freeDStream) {
    if (!context_) throw broken("no memory");
    in_.resize(::ZSTD_DStreamInSize());
    out_.resize(::ZSTD_DStreamOutSize());
    if (bytes(magic.size()) != magic) throw broken("unknown format");
  }

  char kind() { return bytes(1)[0]; }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw broken("bad number");
  }

  /// Exactly `size` bytes, valid until the next call.
  std::string_view bytes(std::uint64_t size) {
    if (size > longest_record) throw broken("record too long");
    if (available() >= size) return take(static_cast<std::size_t>(size));
    joined_.clear();
    while (joined_.size() < size) {
      if (available() == 0) fill();
      joined_ += take(std::min(available(), static_cast<std::size_t>(size) - joined_.size()));
    }
    return joined_;
  }

 private:
  std::size_t available() const { return end_ - begin_; }
  std::string_view take(std::size_t size) {
    begin_ += size;
    return std::string_view(out_.data() + begin_ - size, size);
  }

  void fill() {
    begin_ = end_ = 0;
    while (end_ == 0) {
      if (zstd_in_.pos == zstd_in_.size) {
        const ssize_t got = retry_on_eintr([&] { return ::read(file_.get(), in_.data(), in_.size()); });
        if (got < 0) throw sys_error("read recipe");
        if (got == 0) throw broken("truncated");
        zstd_in_ = ZSTD_inBuffer{in_.data(), static_cast<std::size_t>(got), 0};
      }
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const std::size_t result = ::ZSTD_decompressStream(context_.get(), &out, &zstd_in_);
      if (::ZSTD_isError(result) != 0) throw broken(::ZSTD_getErrorName(result));
      end_ = out.pos;
    }
  }

  UniqueFd file_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> context_;
  std::vector<char> in_;
  std::vector<char> out_;
  ZSTD_inBuffer zstd_in_{nullptr, 0, 0};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::string joined_;
};

/// What lost/index says: where replaced contents went.
class LostIndex {
 public:
  explicit LostIndex(int layer) {
    const std::optional<std::string> text = find_file_at(layer, "lost/index", largest_index);
    if (!text) return;
    std::string_view rest = *text;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\0');
      if (end == std::string_view::npos) throw broken("bad index");
      add(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  }

  /// Path below the layer directory of what was tree/<path> when record number `record` was written.
  std::string locate(std::string_view path, std::uint64_t record) const {
    const Move* first = nullptr;
    std::string_view rest;
    for (std::size_t end = path.size(); end != std::string_view::npos && end > 0 && !moves_.empty();
         end = path.rfind('/', end - 1)) {
      const auto found = moves_.find(path.substr(0, end));
      if (found == moves_.end()) continue;
      for (const Move& move : found->second) {
        if (move.count <= record || (first != nullptr && first->number <= move.number)) continue;
        first = &move;
        rest = path.substr(end);
      }
    }
    return first == nullptr ? concat("tree/", path) : concat("lost/", first->number, rest);
  }

 private:
  struct Move {
    std::uint64_t count;
    std::uint64_t number;  ///< counts the moves: a smaller one was earlier
  };

  void add(std::string_view line) {
    std::uint64_t numbers[2] = {};
    for (std::uint64_t& number : numbers) {
      const auto [end, failure] = std::from_chars(line.data(), line.data() + line.size(), number);
      if (failure != std::errc{} || end == line.data() + line.size() || *end != ' ') throw broken("bad index");
      line.remove_prefix(static_cast<std::size_t>(end - line.data()) + 1);
    }
    moves_[std::string(line)].push_back(Move{numbers[0], numbers[1]});
  }

  std::map<std::string, std::vector<Move>, std::less<>> moves_;
};

void copy_content(int file, std::string_view path, std::uint64_t offset, std::uint64_t length,
                  std::vector<char>& buffer, const std::function<void(std::string_view)>& sink) {
  while (length > 0) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(length, buffer.size()));
    const ssize_t got =
        retry_on_eintr([&] { return ::pread(file, buffer.data(), wanted, static_cast<off_t>(offset)); });
    if (got < 0) throw sys_error("read ", path);
    if (got == 0) throw broken(concat(path, " is shorter than it was"));
    sink(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    offset += static_cast<std::uint64_t>(got);
    length -= static_cast<std::uint64_t>(got);
  }
}

}  // namespace

void rebuild_tar(int layer, const std::function<void(std::string_view)>& sink) {
  const LostIndex lost(layer);
  RecipeReader recipe(open_beneath(layer, "recipe", O_RDONLY));
  std::vector<char> buffer(std::size_t{256} << 10);
  std::uint64_t total = 0;
  for (std::uint64_t record = 0;;) {
    const char kind = recipe.kind();
    if (kind == 'E') break;
    if (kind == 'L') {
      const std::string_view bytes = recipe.bytes(recipe.number());
      total += bytes.size();
      sink(bytes);
      continue;
    }
    if (kind != 'C') throw broken("unknown record");
    const std::string path(recipe.bytes(recipe.number()));
    const std::uint64_t offset = recipe.number();
    const std::uint64_t length = recipe.number();
    const UniqueFd file = open_beneath(layer, lost.locate(path, record), O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat status{};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) throw broken(concat(path, " is no file"));
    copy_content(file.get(), path, offset, length, buffer, sink);
    total += length;
    ++record;
  }
  if (recipe.number() != total) throw broken("wrong length");
}

}  // namespace mydocker::storage
