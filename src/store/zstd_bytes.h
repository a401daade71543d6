// A byte string packed as one zstd frame and back, for blobs in the store.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace retort::store {

Result<std::string> pack(std::string_view bytes);
// Corrupt where `packed` is not one whole frame or says it holds more than 1 GiB.
Result<std::string> unpack(std::string_view packed);

}  // namespace retort::store
