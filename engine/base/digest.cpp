#include "engine/base/digest.h"

#include <openssl/evp.h>

#include <array>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker {
namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::size_t hex_length = 64;

}  // namespace

bool Digest::is_valid(std::string_view text) noexcept {
  return text.starts_with(prefix) && text.size() == prefix.size() + hex_length &&
         text.find_first_not_of("0123456789abcdef", prefix.size()) == std::string_view::npos;
}

Digest Digest::parse(std::string_view text) {
  if (!is_valid(text)) {
    throw Error(ErrorKind::invalid_argument, concat("invalid digest \"", text.substr(0, 200), "\""));
  }
  Digest digest;
  digest.text_ = std::string(text);
  return digest;
}

Digest Digest::from_hex(std::string_view hex) { return parse(concat(prefix, hex)); }

struct Sha256::Context {
  EVP_MD_CTX* md = ::EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { ::EVP_MD_CTX_free(md); }
  void start() {
    if (md == nullptr || ::EVP_DigestInit_ex(md, ::EVP_sha256(), nullptr) != 1) {
      throw Error(ErrorKind::internal, "SHA-256 is not available in OpenSSL");
    }
  }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { context_->start(); }
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::string_view data) {
  if (::EVP_DigestUpdate(context_->md, data.data(), data.size()) != 1)
    throw Error(ErrorKind::internal, "SHA-256 failed");
}

Digest Sha256::finish() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> bytes;
  unsigned length = 0;
  if (::EVP_DigestFinal_ex(context_->md, bytes.data(), &length) != 1)
    throw Error(ErrorKind::internal, "SHA-256 failed");
  context_->start();
  return Digest::from_hex(to_hex(std::span(bytes.data(), length)));
}

Digest sha256_of(std::string_view data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

}  // namespace mydocker
