// A step's stamp as it lies on disk: one that is accepted is written and read back to itself and needs no rerun for its
// own inputs while its files are there; anything else is Corrupt.
#include "app/stamp.h"

#include "base/env.h"
#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {
      R"({"kind":"train/1","options":{"lr":0.1,"data":"${make}/train.jsonl","lora":{"rank":4}},"inputs":{"${make}/train.jsonl":"ab"},"files":[],"output_hash":"cd","seconds":1.5})",
      R"({"kind":"eval/2","options":null,"inputs":{},"files":[{"path":"scores.jsonl","size":12,"hash":"ef"},{"path":"../x","size":-1,"hash":""}],"output_hash":"cd"})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  const std::string path = folder.put(app::kStampName, fuzz::text_of(data, size));
  const std::string place = std::filesystem::path(path).parent_path().string();
  const auto stamp = app::read_stamp(place, system_env());
  if (!stamp.ok()) {
    RETORT_CHECK(stamp.error().code == Code::Corrupt && !stamp.error().message.empty());
    return 0;
  }
  const auto reasons = app::reasons_to_run(&*stamp, stamp->made_of, place, system_env());
  if (stamp->files.empty()) RETORT_CHECK(reasons.empty());
  app::StampInputs changed = stamp->made_of;
  changed.kind += "x";
  RETORT_CHECK(app::reasons_to_run(&*stamp, changed, place, system_env()).size() == reasons.size() + 1);
  RETORT_CHECK(app::output_hash(stamp->files).size() == 64);
  return 0;
}
