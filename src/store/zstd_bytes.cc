#include "store/zstd_bytes.h"

#include <zstd.h>

namespace retort::store {

Result<std::string> pack(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(size) != 0) return fail(Code::Internal, "zstd cannot pack: {}", ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> unpack(std::string_view packed) {
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size > (1ull << 30))
    return fail(Code::Corrupt, "a stored response is not a zstd frame of at most 1 GiB");
  std::string out(size, '\0');
  const size_t got = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) != 0 || got != size)
    return fail(Code::Corrupt, "a stored response cannot be unpacked: {}",
                ZSTD_isError(got) != 0 ? ZSTD_getErrorName(got) : "wrong size");
  return out;
}

}  // namespace retort::store
