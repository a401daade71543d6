#include "train/checkpoint.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/random.h"

namespace retort::train {
namespace {

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    std::string folder = ::testing::TempDir() + "checkpoint-XXXXXX";
    folder_ = mkdtemp(folder.data());
    Random random(3);
    for (auto* v : {&w_, &m_, &v_})
      for (int i = 0; i < 100; ++i) v->push_back(static_cast<float>(random.normal()));
    journal_.fingerprint = "abc";
    journal_.log.push_back({1, 0.1 + 0.2, 1e-3, 3.25, 100, 60, 1e9, 0.5});
  }
  ~CheckpointTest() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/" + checkpoint_name(1); }
  State state() { return {w_, m_, v_}; }

  std::string folder_;
  std::vector<float> w_, m_, v_;
  Journal journal_;
};

TEST_F(CheckpointTest, RoundTrip) {
  ASSERT_TRUE(write_checkpoint(path(), journal_, state(), system_env()).ok());
  std::vector<float> w(100), m(100), v(100);
  const auto read = read_checkpoint(path(), "abc", {w, m, v}, system_env());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(w, w_);
  EXPECT_EQ(m, m_);
  EXPECT_EQ(v, v_);
  ASSERT_EQ(read->log.size(), 1u);
  EXPECT_EQ(to_text(encode(read->log[0])), to_text(encode(journal_.log[0])));
  EXPECT_EQ(checkpoint_step(checkpoint_name(12)), 12);
  EXPECT_FALSE(checkpoint_step(checkpoint_name(12) + ".tmp"));
}

TEST_F(CheckpointTest, AnotherRunsIsRefusedAndChangesNothing) {
  ASSERT_TRUE(write_checkpoint(path(), journal_, state(), system_env()).ok());
  std::vector<float> w(100, 7.0f), m(100), v(100);
  EXPECT_EQ(read_checkpoint(path(), "abd", {w, m, v}, system_env()).error().code, Code::Invalid);
  EXPECT_EQ(w[0], 7.0f);
}

TEST_F(CheckpointTest, EveryCutAndEveryFlippedByteIsFound) {
  ASSERT_TRUE(write_checkpoint(path(), journal_, state(), system_env()).ok());
  const std::string good = *system_env().read_file(path());
  std::vector<float> w(100, 7.0f), m(100), v(100);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = i % 3 == 0 ? good.substr(0, i) : good;
    if (i % 3 != 0) bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    auto file = system_env().append_file(path(), true);
    ASSERT_TRUE((*file)->append(bad).ok());
    file->reset();
    const auto read = read_checkpoint(path(), "abc", {w, m, v}, system_env());
    ASSERT_FALSE(read.ok()) << i;
    EXPECT_NE(read.error().code, Code::Internal);
    ASSERT_EQ(w[0], 7.0f);
  }
}

}  // namespace
}  // namespace retort::train
