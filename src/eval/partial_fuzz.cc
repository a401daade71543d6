// Scores of an unfinished evaluation, as a kill or a foreign hand left the file: opening it never fails, keeps a prefix
// of whole lines, and opening it again gives the same scores.
#include "eval/partial.h"

#include "base/env.h"
#include "base/fuzz/target.h"
#include "eval/summary.h"

namespace {

const std::string kHeader = "{\"retort\":\"partial scores\",\"version\":1,\"key\":\"k\"}\n";

// An Env whose only file is one text in memory; what Partial asks of it and no more.
class OneFile final : public retort::Env {
 public:
  explicit OneFile(std::string_view bytes) : bytes_(bytes) {}
  std::string bytes_;

  int64_t wall_us() override { return 0; }
  int64_t monotonic_us() override { return 0; }
  void sleep_us(int64_t) override {}
  void random_bytes(std::span<uint8_t>) override {}
  retort::Result<std::string> read_file(const std::string&) override { return bytes_; }
  retort::Status write_file(const std::string&, std::string_view bytes) override {
    bytes_ = bytes;
    return {};
  }
  retort::Result<std::unique_ptr<retort::AppendFile>> append_file(const std::string&, bool) override {
    return std::unique_ptr<retort::AppendFile>();
  }
  bool exists(const std::string&) override { return true; }
  bool is_directory(const std::string&) override { return false; }
  retort::Result<int64_t> file_size(const std::string&) override { return static_cast<int64_t>(bytes_.size()); }
  retort::Status make_directories(const std::string&) override { return {}; }
  retort::Result<std::vector<std::string>> list_directory(const std::string&) override {
    return std::vector<std::string>();
  }
  retort::Status rename(const std::string&, const std::string&) override { return {}; }
  retort::Status remove_all(const std::string&) override { return {}; }
};

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  const std::string row =
      R"({"id":"s","prompt_id":"p","sample":0,"model":"m","task":"t","gold":"4","pred":"4","correct":true,"how":"number","finish_reason":"stop","tokens":9})"
      "\n";
  const std::string other =
      R"({"id":"u","prompt_id":"q","sample":2147483647,"model":"m","task":"","gold":"4","correct":false,"tokens":-9223372036854775808})"
      "\n";
  return {kHeader + row + other, kHeader + row + row.substr(0, 40), kHeader, "{\"retort\":\"other\"}\n" + row};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view bytes = fuzz::text_of(data, size);
  OneFile file(bytes);
  std::vector<Score> scores, again;
  RETORT_CHECK(eval::Partial::open("scores.partial.jsonl", "k", file, scores).ok());
  RETORT_CHECK(file.bytes_ == kHeader || bytes.starts_with(file.bytes_));
  RETORT_CHECK(eval::Partial::open("scores.partial.jsonl", "k", file, again).ok());
  RETORT_CHECK(scores.size() == again.size());
  const eval::Summary summary = eval::summarise(scores);
  RETORT_CHECK(summary.all.scores == static_cast<int64_t>(scores.size()));
  RETORT_CHECK(scores.empty() || (summary.all.pass1 >= 0 && summary.all.pass1 <= 1));
  (void)eval::table(summary);
  return 0;
}
