#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

/// Content identity (OCI image-spec, descriptor.md, "Digests"). Any thread; nothing blocks.
/// Part of the target `base_store` (OpenSSL): never in the static programs.
namespace mydocker {

/// "sha256:<64 lower-case hex>". A value of this type is always valid; the empty one is "no digest".
class Digest {
 public:
  Digest() = default;
  /// Throws Error{invalid_argument}. Only sha256 is known; hex must be exact and lower-case (SECURITY R8).
  static Digest parse(std::string_view text);
  static bool is_valid(std::string_view text) noexcept;
  /// From 64 hex digits alone.
  static Digest from_hex(std::string_view hex);

  bool empty() const noexcept { return text_.empty(); }
  const std::string& text() const noexcept { return text_; }
  /// The 64 digits without the algorithm: what stands in paths.
  std::string hex() const { return text_.empty() ? std::string() : text_.substr(7); }
  /// The first twelve digits: what people see.
  std::string short_hex() const { return text_.empty() ? std::string() : text_.substr(7, 12); }

  auto operator<=>(const Digest&) const = default;

 private:
  std::string text_;
};

/// A running SHA-256. Move-only; one thread at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::string_view data);
  /// The digest of all that came; afterwards the object starts anew.
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest sha256_of(std::string_view data);

}  // namespace mydocker
