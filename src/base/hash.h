// Content hashes. SHA-256 names every artefact (records, weights, stages); hex, lower case. Incremental for large
// files.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace retort {

class Env;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view bytes);
  // 64 hex digits; the object may not be used afterwards.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view bytes);
// Of the file's bytes, read in pieces.
Result<std::string> sha256_file(const std::string& path);

// First 16 hex digits of sha256: the form of record ids.
std::string short_id(std::string_view bytes);

// 64-bit FNV-1a: for seeds and tables in memory, never for identity on disk.
constexpr uint64_t fnv1a(std::string_view bytes) {
  uint64_t h = 14695981039346656037ull;
  for (const char c : bytes) h = (h ^ static_cast<uint8_t>(c)) * 1099511628211ull;
  return h;
}

}  // namespace retort
