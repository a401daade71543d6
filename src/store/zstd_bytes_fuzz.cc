// Packed blobs of the store: what was packed is unpacked to the same bytes, and any other bytes are refused or are a
// frame.
#include "store/zstd_bytes.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  std::vector<std::string> out = {"", "{\"id\":\"chatcmpl-1\"}"};
  for (const std::string& text : {std::string(), std::string("a response"), std::string(3000, 'x')})
    if (auto packed = retort::store::pack(text); packed.ok()) out.push_back(std::move(*packed));
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view bytes = fuzz::text_of(data, size);
  if (const auto text = store::unpack(bytes); !text.ok()) fuzz::check_refusal(text.error());
  const auto packed = store::pack(bytes);
  RETORT_CHECK(packed.ok());
  const auto same = store::unpack(*packed);
  RETORT_CHECK(same.ok() && *same == bytes);
  RETORT_CHECK(!store::unpack(packed->substr(0, packed->size() - 1)).ok());
  return 0;
}
