#include "base/hash.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sodium.h>

#include "base/env.h"

namespace retort {

struct Sha256::State {
  crypto_hash_sha256_state sodium;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { crypto_hash_sha256_init(&state_->sodium); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  crypto_hash_sha256_update(&state_->sodium, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

std::string Sha256::finish() {
  unsigned char digest[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_final(&state_->sodium, digest);
  char text[2 * sizeof digest + 1];
  sodium_bin2hex(text, sizeof text, digest, sizeof digest);
  return text;
}

std::string sha256(std::string_view bytes) {
  Sha256 h;
  h.update(bytes);
  return h.finish();
}

Result<std::string> sha256_file(const std::string& path) {
  int64_t size = 0;
  RETORT_ASSIGN(const int fd, open_regular(path, size));
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(::fdopen(fd, "rb"), &std::fclose);
  Sha256 h;
  std::string buffer(1 << 20, '\0');
  for (;;) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get());
    h.update(std::string_view(buffer).substr(0, n));
    if (n < buffer.size()) break;
  }
  if (std::ferror(file.get()) != 0) return fail(Code::Io, "cannot read {}: {}", path, std::strerror(errno));
  return h.finish();
}

std::string short_id(std::string_view bytes) { return sha256(bytes).substr(0, 16); }

}  // namespace retort
