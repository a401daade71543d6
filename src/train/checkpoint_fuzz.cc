// Checkpoint files: any bytes, and any bytes with a right checksum put behind them. One that is accepted is written
// again to the same bytes; one that is refused leaves the state as it was.
#include "train/checkpoint.h"

#include "base/env.h"
#include "base/fuzz/target.h"

namespace {

constexpr size_t kFloats = 3;

std::string body() {
  const std::string header =
      R"({"fingerprint":"f","threads":[{"after_step":0,"threads":2}],"log":[{"step":1,"loss":2.5,"lr":0.001,"grad_norm":1.0,"tokens":9,"targets":4,"flops":1e9,"seconds":0.1}]})";
  std::string out = "RTRTCKPT";
  const auto number = [&](uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  };
  number(2, 4);
  number(0, 4);
  number(header.size(), 8);
  number(kFloats, 8);
  return out + header + std::string(3 * kFloats * sizeof(float), '\x3D');
}

bool read(const std::string& path) {
  using namespace retort;
  std::vector<float> weights(kFloats, 7.0f), first(kFloats, 7.0f), second(kFloats, 7.0f);
  const auto journal = train::read_checkpoint(path, "f", {weights, first, second});
  if (journal.ok()) return true;
  fuzz::check_refusal(journal.error());
  RETORT_CHECK(journal.error().message.find(path) != std::string::npos);
  for (const float value : weights) RETORT_CHECK(value == 7.0f);
  return false;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() { return {body(), body() + sha256(body())}; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  const std::string bytes(fuzz::text_of(data, size));
  if (read(folder.put("a.bin", bytes)))
    RETORT_CHECK(bytes.size() > 64 && sha256(bytes.substr(0, bytes.size() - 64)) == bytes.substr(bytes.size() - 64));
  read(folder.put("b.bin", bytes + sha256(bytes)));
  if (const auto step = train::checkpoint_step(bytes)) RETORT_CHECK(train::checkpoint_name(*step) == bytes);
  return 0;
}
