#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/random.h"
#include "model/gguf.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/weights_fixture.h"

namespace retort::model {
namespace {

using fixture::Folder;

void write_directory(const std::string& folder, const Config& config, const std::vector<NamedTensor>& tensors) {
  std::filesystem::create_directories(folder);
  fixture::write(folder + "/config.json", to_text(config_json(config, DType::F32)));
  ASSERT_TRUE(write_safetensors(folder + "/model.safetensors", tensors, DType::F32, system_env()).ok());
}

void expect_error(const Result<Weights>& got, Code code, std::initializer_list<std::string> says) {
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, code) << got.error().message;
  for (const std::string& text : says)
    EXPECT_NE(got.error().message.find(text), std::string::npos) << got.error().message;
}

// The same weights as a directory and as a GGUF are the same model: q and k rows come out in one order.
TEST(LoadWeights, DirectoryAndGgufAgree) {
  const Folder folder("load_agree");
  for (const bool tied : {false, true}) {
    const Config config = fixture::tiny_config(tied);
    const auto tensors = fixture::random_tensors(config, 3);
    std::filesystem::remove_all(folder.path / "hf");
    write_directory(folder / "hf", config, tensors);
    fixture::write(folder / "tiny.gguf", fixture::tiny_gguf(config, tensors).bytes());
    const auto hf = load_weights(folder / "hf"), gguf = load_weights(folder / "tiny.gguf");
    ASSERT_TRUE(hf.ok()) << hf.error().message;
    ASSERT_TRUE(gguf.ok()) << gguf.error().message;
    EXPECT_EQ(hf->config, gguf->config);
    EXPECT_EQ(gguf->name, "tiny");  // the file's, not what it calls itself
    EXPECT_EQ(hf->name, "hf");
    for (const auto& [name, tensor] : tensors) {
      EXPECT_EQ(to_f32(hf->tensor(name)), to_f32(tensor)) << name;
      EXPECT_EQ(to_f32(gguf->tensor(name)), to_f32(tensor)) << name;
    }
    EXPECT_EQ(hf->lm_head().bytes.data() == hf->tensor("model.embed_tokens.weight").bytes.data(), tied);
    EXPECT_EQ(hf->content_hash(), gguf->content_hash());
    EXPECT_EQ(hf->content_hash().size(), 64u);
    auto other = tensors;
    std::vector<float> values = to_f32(other[1].tensor);
    values[0] += 1;
    other[1].tensor = make_tensor(other[1].tensor.shape, values);
    write_directory(folder / "other", config, other);
    EXPECT_NE(load_weights(folder / "other")->content_hash(), hf->content_hash());
  }
}

// Weights outlive everything but the tensors themselves.
TEST(LoadWeights, TensorsKeepTheirBytesAlive) {
  const Folder folder("load_alive");
  const Config config = fixture::tiny_config(true);
  const auto tensors = fixture::random_tensors(config, 4);
  fixture::write(folder / "tiny.gguf", fixture::tiny_gguf(config, tensors).bytes());
  Tensor q, up;
  {
    const auto weights = load_weights(folder / "tiny.gguf");
    ASSERT_TRUE(weights.ok());
    q = weights->tensor("model.layers.1.self_attn.q_proj.weight");
    up = weights->tensor("model.layers.1.mlp.up_proj.weight");
  }
  std::filesystem::remove(folder / "tiny.gguf");
  for (const auto& [name, tensor] : tensors) {
    if (name == "model.layers.1.self_attn.q_proj.weight") {
      EXPECT_EQ(to_f32(q), to_f32(tensor));
    }
    if (name == "model.layers.1.mlp.up_proj.weight") {
      EXPECT_EQ(to_f32(up), to_f32(tensor));
    }
  }
}

TEST(LoadWeights, TensorsAreHeldAgainstTheConfig) {
  const Folder folder("load_config");
  const Config config = fixture::tiny_config(false);
  const auto good = fixture::random_tensors(config, 5);
  const auto with = [&](auto&& change) {
    auto tensors = good;
    change(tensors);
    std::filesystem::remove_all(folder.path / "m");
    write_directory(folder / "m", config, tensors);
    return load_weights(folder / "m");
  };
  expect_error(with([](auto& t) { t.erase(t.begin() + 4); }), Code::Corrupt,
               {"1 tensor is missing: `model.layers.0.self_attn.v_proj.weight`", folder / "m"});
  expect_error(with([](auto& t) { t.resize(1); }), Code::Corrupt, {"2 layers, but there are only 1 tensors"});
  expect_error(with([](auto& t) { t.resize(3); }), Code::Corrupt, {"18 tensors are missing", "and 15 more"});
  expect_error(with([](auto& t) { t[1].tensor = make_tensor({31}, std::vector<float>(31)); }), Code::Corrupt,
               {"`model.layers.0.input_layernorm.weight` has shape [31], but the config asks for [32]"});
  expect_error(with([](auto& t) { t.push_back({"model.layers.0.self_attn.q_proj.bias", make_tensor({1}, {0})}); }),
               Code::Invalid, {"q_proj.bias", "bias"});
  const auto extra = with([](auto& t) { t.push_back({"model.rotary_emb.inv_freq", make_tensor({1}, {0})}); });
  ASSERT_TRUE(extra.ok()) << extra.error().message;
  EXPECT_EQ(extra->unused, std::vector<std::string>{"model.rotary_emb.inv_freq"});
}

TEST(LoadWeights, AWeightThatIsNoNumberIsNamed) {
  const Folder folder("load_nan");
  const Config config = fixture::tiny_config(false);
  TaskPool pool(2);
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    auto tensors = fixture::random_tensors(config, 5);
    for (NamedTensor& t : tensors) {
      if (t.name != "model.layers.1.mlp.down_proj.weight") continue;
      std::vector<float> values = to_f32(t.tensor);
      values[3 * 64 + 7] = bad;
      t.tensor = make_tensor(t.tensor.shape, std::move(values));
    }
    std::filesystem::remove_all(folder.path / "m");
    write_directory(folder / "m", config, tensors);
    const auto weights = load_weights(folder / "m");
    ASSERT_TRUE(weights.ok());
    const Status checked = check_weights(*weights, pool);
    ASSERT_FALSE(checked.ok());
    EXPECT_EQ(checked.error().code, Code::Corrupt);
    EXPECT_NE(checked.error().message.find("`model.layers.1.mlp.down_proj.weight` [32, 64] holds"), std::string::npos);
    EXPECT_NE(checked.error().message.find("at [3, 7]"), std::string::npos) << checked.error().message;
  }
  // Of each type: the row's last weight, or the last block's scale or minimum, and nothing before it.
  const auto row_of = [](DType dtype, std::string bytes) {
    auto owner = std::make_shared<std::string>(std::move(bytes));
    return Tensor{dtype, {1, 64}, *owner, owner};
  };
  for (const DType dtype :
       {DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1}) {
    const auto size = static_cast<size_t>(byte_size(dtype, {1, 64}).value());
    std::string bytes(size, '\0');
    EXPECT_EQ(first_not_finite(row_of(dtype, bytes), 0), -1);
    const bool blocks = block_weights(dtype) > 1;
    const size_t at = blocks ? size / 2 : dtype == DType::F32 ? size - 2 : size - 2;
    bytes[at] = '\x80';
    bytes[at + 1] = '\x7F';
    EXPECT_EQ(first_not_finite(row_of(dtype, bytes), 0), blocks ? 32 : 63) << dtype_name(dtype);
    if (dtype != DType::Q4_1 && dtype != DType::Q5_1) continue;
    bytes[at] = bytes[at + 1] = '\0';
    bytes[at + 3] = '\x7C';
    EXPECT_EQ(first_not_finite(row_of(dtype, bytes), 0), 32) << dtype_name(dtype);
  }
}

TEST(LoadWeights, FilesCutShortAreSaid) {
  const Folder folder("load_cut");
  Config config = fixture::tiny_config(true);
  config.vocab_size = 4096;  // some pages
  write_directory(folder / "m", config, fixture::random_tensors(config, 5));
  const auto weights = load_weights(folder / "m");
  ASSERT_TRUE(weights.ok());
  EXPECT_TRUE(weights->whole().ok());
  std::filesystem::resize_file(folder / "m/model.safetensors", 20000);
  TaskPool pool(2);
  const Status checked = check_weights(*weights, pool);  // reads all of it: no signal
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code, Code::Corrupt);
  EXPECT_NE(checked.error().message.find("cut short"), std::string::npos) << checked.error().message;
}

TEST(LoadWeights, UnsupportedGgufTypesAndScalingAreNamed) {
  const Folder folder("load_types");
  const Config config = fixture::tiny_config(true);
  auto tensors = fixture::random_tensors(config, 6);
  tensors.pop_back();
  fixture::GgufBuilder f64 = fixture::tiny_gguf(config, tensors);
  f64.tensor("output_norm.weight", {32}, 28, std::string(256, '\0'));
  fixture::write(folder / "t.gguf", f64.bytes());
  expect_error(load_weights(folder / "t.gguf"), Code::Invalid, {"F64", "model.norm.weight", "t.gguf"});
  fixture::GgufBuilder rope = fixture::tiny_gguf(config, fixture::random_tensors(config, 6));
  rope.tensor("rope_freqs.weight", {4}, 0, std::string(16, '\0'));
  fixture::write(folder / "r.gguf", rope.bytes());
  expect_error(load_weights(folder / "r.gguf"), Code::Invalid, {"rope_scaling type llama3"});
}

TEST(LoadWeights, PathsThatAreNoModelSayWhatToDo) {
  const Folder folder("load_paths");
  expect_error(load_weights(folder / "absent"), Code::NotFound, {"absent", "never downloads"});
  expect_error(load_weights(""), Code::Invalid, {"empty"});
  expect_error(load_weights(folder.path.string()), Code::NotFound, {"config.json is missing", "it is empty"});
  fixture::write(folder / "x.gguf", "GGUF");
  expect_error(load_weights(folder.path.string()), Code::NotFound, {"name the GGUF file itself: x.gguf"});
  expect_error(load_weights(folder / "x.gguf"), Code::Corrupt, {"x.gguf", "the version needs 4 bytes"});
  fixture::write(folder / "m.bin", "x");
  expect_error(load_weights(folder / "m.bin"), Code::Invalid, {"pickle"});
  const Config config = fixture::tiny_config(true);
  write_directory(folder / "m", config, fixture::random_tensors(config, 1));
  expect_error(load_weights(folder / "m/config.json"), Code::Invalid, {"name its folder"});
  std::filesystem::rename(folder / "m/model.safetensors", folder / "m/pytorch_model.bin");
  expect_error(load_weights(folder / "m"), Code::Invalid, {"pytorch_model.bin", "safetensors"});
  std::filesystem::remove(folder / "m/pytorch_model.bin");
  expect_error(load_weights(folder / "m"), Code::NotFound, {"has no weights", "it holds config.json"});
  fixture::write(folder / "m/config.json", "{");
  expect_error(load_weights(folder / "m"), Code::Invalid, {"config.json", "not JSON"});
}

TEST(LoadWeights, CacheFoldersLeadToTheirSnapshot) {
  const Folder folder("load_cache");
  const std::string hub = folder / "models--acme--tiny-llama";
  const Config config = fixture::tiny_config(true);
  write_directory(hub + "/snapshots/aaa", config, fixture::random_tensors(config, 1));
  EXPECT_EQ(resolve_model(hub)->path, hub + "/snapshots/aaa") << "the only one";
  EXPECT_EQ(resolve_model(hub + "/")->name, "acme/tiny-llama");
  EXPECT_EQ(resolve_model(hub + "/snapshots/aaa/")->name, "acme/tiny-llama");
  write_directory(hub + "/snapshots/bbb", config, fixture::random_tensors(config, 2));
  EXPECT_EQ(resolve_model(hub).error().code, Code::NotFound) << "two, and nothing says which";
  std::filesystem::create_directories(hub + "/refs");
  fixture::write(hub + "/refs/main", "bbb\n");
  EXPECT_EQ(resolve_model(hub)->path, hub + "/snapshots/bbb");
  EXPECT_TRUE(load_weights(hub).ok());
  fixture::write(hub + "/refs/main", "../../elsewhere");
  EXPECT_EQ(resolve_model(hub).error().code, Code::NotFound);
}

// Whatever happens to the header of a whole model, loading gives a model that fits its config or an error that names
// the file.
TEST(LoadWeights, MutatedModelsNeverCrash) {
  const Folder folder("load_mutations");
  const Config config = fixture::tiny_config(true);
  fixture::GgufBuilder g = fixture::tiny_gguf(config, fixture::random_tensors(config, 9));
  const std::string good = g.bytes();
  const size_t header = good.size() - g.data.size();
  const std::string path = folder / "m.gguf";
  Random random(17);
  int loaded = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = good;
    for (int e = 0; e < 1 + i % 3; ++e) bytes[random.below(header)] = static_cast<char>(random.below(256));
    fixture::write(path, bytes);
    const auto weights = load_weights(path);
    if (!weights.ok()) {
      EXPECT_EQ(weights.error().message.rfind(path, 0), 0u) << weights.error().message;
      continue;
    }
    ++loaded;
    for (const auto& [name, shape] : expected_tensors(weights->config)) ASSERT_EQ(weights->tensor(name).shape, shape);
  }
  EXPECT_GT(loaded, 0) << "a flip inside a name of no use changes nothing";
}

}  // namespace
}  // namespace retort::model
