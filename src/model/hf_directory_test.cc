#include "model/hf_directory.h"

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "model/model.h"
#include "model/safetensors.h"
#include "model/weights_fixture.h"

namespace retort::model {
namespace {

using fixture::Folder;

// The real world, but the n-th operation that writes fails as on a full disk.
class FailingEnv final : public Env {
 public:
  explicit FailingEnv(int fail_at) : left_(fail_at) {}
  bool failed() const { return left_ < 0; }

  int64_t wall_us() override { return real_.wall_us(); }
  int64_t monotonic_us() override { return real_.monotonic_us(); }
  void sleep_us(int64_t us) override { real_.sleep_us(us); }
  void random_bytes(std::span<uint8_t> out) override { real_.random_bytes(out); }
  Result<std::string> read_file(const std::string& path) override { return real_.read_file(path); }
  Status write_file(const std::string& path, std::string_view bytes) override {
    RETORT_TRY(step(path));
    return real_.write_file(path, bytes);
  }
  Result<std::unique_ptr<AppendFile>> append_file(const std::string& path, bool truncate) override {
    RETORT_TRY(step(path));
    RETORT_ASSIGN(auto file, real_.append_file(path, truncate));
    return std::unique_ptr<AppendFile>(std::make_unique<File>(*this, std::move(file), path));
  }
  bool exists(const std::string& path) override { return real_.exists(path); }
  bool is_directory(const std::string& path) override { return real_.is_directory(path); }
  Result<int64_t> file_size(const std::string& path) override { return real_.file_size(path); }
  Status make_directories(const std::string& path) override {
    RETORT_TRY(step(path));
    return real_.make_directories(path);
  }
  Result<std::vector<std::string>> list_directory(const std::string& path) override {
    return real_.list_directory(path);
  }
  Status rename(const std::string& from, const std::string& to) override {
    RETORT_TRY(step(to));
    return real_.rename(from, to);
  }
  Status exchange(const std::string& a, const std::string& b) override {
    RETORT_TRY(step(b));
    return real_.exchange(a, b);
  }
  Status remove_all(const std::string& path) override { return real_.remove_all(path); }

 private:
  struct File final : AppendFile {
    File(FailingEnv& in, std::unique_ptr<AppendFile> f, std::string p)
        : env(in), file(std::move(f)), path(std::move(p)) {}
    Status append(std::string_view bytes) override {
      RETORT_TRY(env.step(path));
      return file->append(bytes);
    }
    Status sync() override {
      RETORT_TRY(env.step(path));
      return file->sync();
    }
    FailingEnv& env;
    std::unique_ptr<AppendFile> file;
    std::string path;
  };
  Status step(const std::string& path) {
    if (left_ >= 0 && left_-- == 0) return fail(Code::Io, "cannot write {}: no space left", path);
    return {};
  }
  Env& real_ = system_env();
  int left_;
};

HfDirectory tiny(bool tied, uint64_t seed) {
  HfDirectory out;
  out.config = fixture::tiny_config(tied);
  out.tensors = fixture::random_tensors(out.config, seed);
  out.generation.temperature = 0.7;
  out.text.tokenizer_json = "{\"a\":1}";
  out.text.chat_template = "x";
  out.extra_files = {{"README.md", "hello"}};
  return out;
}

std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> out;
  if (!std::filesystem::exists(folder)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    out[entry.path().filename()] = *system_env().read_file(entry.path().string());
  }
  return out;
}

TEST(HfDirectory, WhatIsWrittenIsReadWhateverTheShards) {
  const Folder folder("hf_round_trip");
  HfDirectory content = tiny(false, 1);
  for (const int64_t limit : {int64_t{1} << 40, int64_t{20000}, int64_t{1}}) {
    content.max_shard_bytes = limit;
    const std::string path = folder / fmt::format("deep/er/{}", limit);
    const auto status = write_hf_directory(path, content, false, system_env());
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto read = load_weights(path);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->config, content.config);
    EXPECT_EQ(read->generation, content.generation);
    for (const auto& [name, tensor] : content.tensors) EXPECT_EQ(to_f32(read->tensor(name)), to_f32(tensor)) << name;
    auto files = files_of(path);
    EXPECT_EQ(files["README.md"], "hello");
    EXPECT_EQ(files["chat_template.jinja"], "x");
    EXPECT_EQ(files.count("model.safetensors"), limit > 1000000 ? 1u : 0u);
    ASSERT_TRUE(write_hf_directory(folder / "again", content, true, system_env()).ok());
    EXPECT_EQ(files_of(folder / "again"), files) << "equal input, equal bytes";
  }
}

TEST(HfDirectory, RefusesWhatDoesNotFit) {
  const Folder folder("hf_refuses");
  const auto refused = [&](HfDirectory content, const char* says) {
    const auto status = write_hf_directory(folder / "m", content, false, system_env());
    ASSERT_FALSE(status.ok()) << says;
    EXPECT_EQ(status.error().code, Code::Invalid);
    EXPECT_NE(status.error().message.find(says), std::string::npos) << status.error().message;
    EXPECT_TRUE(std::filesystem::is_empty(folder.path));
  };
  HfDirectory c = tiny(true, 1);
  c.tensors.pop_back();
  refused(c, "`model.norm.weight` is missing");
  c = tiny(true, 1);
  c.tensors.push_back({"lm_head.weight", c.tensors[0].tensor});
  refused(c, "`lm_head.weight` is none that the config knows");
  c = tiny(true, 1);
  c.tensors[0].tensor = make_tensor({1}, {0});
  refused(c, "has shape [1]");
  c = tiny(true, 1);
  c.tensors.push_back(c.tensors[0]);
  refused(c, "comes twice");
  c = tiny(true, 1);
  c.dtype = DType::Q8_0;
  refused(c, "Q8_0");
  c = tiny(true, 1);
  c.config.kv_heads = 3;
  refused(c, "num_key_value_heads 3");
  fixture::write(folder / "file", "x");
  EXPECT_FALSE(write_hf_directory(folder / "file", tiny(true, 1), true, system_env()).ok());
}

// A disk that fills up at any step leaves the old folder whole, or the new one, and no litter.
TEST(HfDirectory, FailingAtEachStepLeavesOldOrNew) {
  const Folder folder("hf_failing");
  const std::string path = folder / "m";
  const HfDirectory before = tiny(true, 1), after = tiny(true, 2);
  ASSERT_TRUE(write_hf_directory(path, before, false, system_env()).ok());
  const auto old_files = files_of(path);
  ASSERT_TRUE(write_hf_directory(folder / "reference", after, false, system_env()).ok());
  const auto new_files = files_of(folder / "reference");
  std::filesystem::remove_all(folder / "reference");
  int failures = 0;
  for (int at = 0; at < 1000; ++at) {
    FailingEnv env(at);
    const auto status = write_hf_directory(path, after, true, env);
    const auto names = system_env().list_directory(folder.path.string());
    EXPECT_EQ(*names, std::vector<std::string>{"m"}) << "litter after step " << at;
    if (status.ok()) {
      EXPECT_FALSE(env.failed());
      EXPECT_EQ(files_of(path), new_files);
      break;
    }
    ++failures;
    EXPECT_EQ(status.error().code, Code::Io);
    ASSERT_EQ(files_of(path), old_files) << "step " << at;
  }
  EXPECT_GT(failures, 20);
  EXPECT_EQ(files_of(path), new_files);
}

PeftAdapter tiny_adapter() {
  PeftAdapter adapter;
  adapter.base_model = "base";
  adapter.rank = 2;
  adapter.alpha = 4;
  adapter.pairs.push_back({"model.layers.0.self_attn.q_proj", make_tensor({2, 3}, std::vector<float>(6, 1)),
                           make_tensor({5, 2}, std::vector<float>(10, 2))});
  return adapter;
}

TEST(HfDirectory, AModelAndItsAdapterAppearTogether) {
  const Folder folder("hf_adapter");
  const std::string path = folder / "m";
  HfDirectory content = tiny(true, 1);
  content.adapter = tiny_adapter();
  int failures = 0;
  for (int at = 0; at < 1000 && !std::filesystem::exists(path); ++at, ++failures) {
    FailingEnv env(at);
    const auto status = write_hf_directory(path, content, false, env);
    EXPECT_EQ(status.ok(), std::filesystem::exists(path));
    EXPECT_EQ(*system_env().list_directory(folder.path.string()), std::vector<std::string>(status.ok() ? 1 : 0, "m"));
  }
  EXPECT_GT(failures, 20);
  EXPECT_TRUE(std::filesystem::exists(path + "/adapter/adapter_model.safetensors"));
}

TEST(HfDirectory, OnlyWhatRetortWroteIsReplaced) {
  const Folder folder("hf_foreign");
  const std::string path = folder / "m", notes = path + "/notes.txt";
  std::filesystem::create_directories(path);
  fixture::write(notes, "mine");
  for (int round = 0; round < 2; ++round) {  // a folder without a mark, then one that was written by us
    const auto status = write_hf_directory(path, tiny(true, 1), true, system_env());
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("notes.txt"), std::string::npos) << status.error().message;
    EXPECT_EQ(*system_env().read_file(notes), "mine");
    std::filesystem::remove(notes);
    ASSERT_TRUE(write_hf_directory(path, tiny(true, 1), true, system_env()).ok());
    fixture::write(notes, "mine");
  }
  std::filesystem::create_directory_symlink(path, folder / "link");
  EXPECT_FALSE(write_hf_directory(folder / "link", tiny(true, 1), true, system_env()).ok());
  // What a killed writer left goes with the next; what only looks like it stays.
  fixture::write(folder / "n.tmp-0123456789ab", "mine");
  ASSERT_TRUE(write_hf_directory(folder / "n", tiny(true, 1), false, system_env()).ok());
  std::filesystem::rename(folder / "n", folder / "n.tmp-ba9876543210");
  ASSERT_TRUE(write_hf_directory(folder / "n", tiny(true, 1), false, system_env()).ok());
  EXPECT_TRUE(std::filesystem::exists(folder / "n.tmp-0123456789ab"));
  EXPECT_FALSE(std::filesystem::exists(folder / "n.tmp-ba9876543210"));
}

TEST(HfDirectory, ReplacingLeavesNoMomentWithoutAModel) {
  const Folder folder("hf_no_gap");
  const std::string path = folder / "m", config = path + "/config.json";
  ASSERT_TRUE(write_hf_directory(path, tiny(true, 1), false, system_env()).ok());
  std::atomic<bool> done{false};
  int64_t looks = 0, gaps = 0;
  std::thread watcher([&] {
    for (; !done; ++looks) gaps += ::access(config.c_str(), F_OK) != 0;
  });
  for (int i = 0; i < 30; ++i) EXPECT_TRUE(write_hf_directory(path, tiny(true, 2), true, system_env()).ok());
  done = true;
  watcher.join();
  EXPECT_GT(looks, 0);
  EXPECT_EQ(gaps, 0);
}

TEST(PeftAdapter, NamesAndShapes) {
  const Folder folder("peft");
  PeftAdapter adapter = tiny_adapter();
  const auto status = write_peft_adapter(folder / "a", adapter, false, system_env());
  ASSERT_TRUE(status.ok()) << status.error().message;
  const auto read = read_safetensors(folder / "a/adapter_model.safetensors");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->tensors[0].name, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
  EXPECT_EQ(read->tensors[1].name, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
  const auto config = parse_json(*system_env().read_file(folder / "a/adapter_config.json"));
  EXPECT_EQ((*config)["target_modules"], Json({"q_proj"}));
  EXPECT_EQ((*config)["r"], 2);
  adapter.rank = 3;
  EXPECT_FALSE(write_peft_adapter(folder / "b", adapter, false, system_env()).ok());
  adapter.pairs.clear();
  EXPECT_FALSE(write_peft_adapter(folder / "b", adapter, false, system_env()).ok());
}

}  // namespace
}  // namespace retort::model
