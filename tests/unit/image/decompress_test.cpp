#include "image/decompress.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"
#include "tests/unit/image/image_fixture.h"

namespace mydocker::image {
namespace {

using test::gzip;
using test::zstd;

std::string inflate(std::string_view data, std::size_t step) {
  std::string out;
  Decompressor decompressor([&](std::string_view plain) { out.append(plain); });
  for (std::size_t i = 0; i < data.size(); i += step) decompressor.write(data.substr(i, step));
  decompressor.finish();
  return out;
}

std::string some_text(std::size_t size) {
  std::mt19937 random(7);
  std::string out;
  while (out.size() < size) out += concat("line ", random() % 1000, "\n");
  return out;
}

TEST(Decompress, EveryFormatInAnyPieces) {
  const std::string text = some_text(700000);
  for (const std::string& data : {text, gzip(text), zstd(text)}) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{4096}, data.size()}) {
      EXPECT_TRUE(inflate(data, step) == text) << step;
    }
  }
}

TEST(Decompress, SeveralGzipMembersAndZstdFrames) {
  const std::string a = some_text(100000);
  const std::string b = some_text(3);
  for (const std::size_t step : {std::size_t{1}, std::size_t{13}, std::size_t{100000}}) {
    EXPECT_TRUE(inflate(gzip(a) + gzip("") + gzip(b), step) == a + b) << step;
    EXPECT_TRUE(inflate(zstd(a) + zstd(b), step) == a + b) << step;
  }
}

TEST(Decompress, TruncatedDataIsAnError) {
  const std::string text = some_text(100000);
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{5}, whole.size() / 2}) {
      EXPECT_THROW_ERROR(inflate(whole.substr(0, whole.size() - cut), 4096), ErrorKind::invalid_argument, "");
    }
  }
}

TEST(Decompress, BrokenDataIsAnError) {
  const std::string text = some_text(100000);
  std::string broken = gzip(text);
  broken[broken.size() - 6] = static_cast<char>(broken[broken.size() - 6] ^ 1);  // the CRC
  EXPECT_THROW_ERROR(inflate(broken, 4096), ErrorKind::invalid_argument, "gzip");
  EXPECT_THROW_ERROR(inflate(gzip(text) + "garbage", 4096), ErrorKind::invalid_argument, "gzip");
  EXPECT_THROW_ERROR(inflate(zstd(text) + "garbage", 4096), ErrorKind::invalid_argument, "zstd");
}

TEST(Decompress, EmptyInputIsEmptyOutput) { EXPECT_EQ(inflate("", 1), ""); }

TEST(Decompress, BombsAreRefusedByTheirRatio) {
  const std::string zeros(std::size_t{80} << 20, '\0');
  for (const std::string& bomb : {gzip(zeros), zstd(zeros)}) {
    EXPECT_THROW_ERROR(inflate(bomb, 4096), ErrorKind::too_large, "expands more than 200 times");
  }
}

TEST(Decompress, AHugeZstdWindowIsRefused) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string out(1 << 20, '\0');
  const std::string text = some_text(1000);
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ASSERT_EQ(ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush) == 0 || to.pos > 0, true);
  while (ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  EXPECT_THROW_ERROR(inflate(out, 4096), ErrorKind::invalid_argument, "zstd");
}

TEST(Decompress, XzAndBzip2ComeThroughLibarchive) {
  REQUIRE_PROGRAM("xz");
  REQUIRE_PROGRAM("bzip2");
  const std::string text = some_text(300000);
  for (const char* program : {"xz", "bzip2", "gzip"}) {
    const test::TempFile file(test::filter_through({program, "-c"}, text));
    std::string out;
    decompress_fd(file.fd(), [&](std::string_view plain) { out.append(plain); });
    EXPECT_TRUE(out == text) << program;
  }
}

}  // namespace
}  // namespace mydocker::image
