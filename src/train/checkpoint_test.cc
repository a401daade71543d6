#include "train/checkpoint.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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
    journal_.threads = {{0, 8}, {1, 2}};
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
  const auto read = read_checkpoint(path(), "abc", {w, m, v});
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(w, w_);
  EXPECT_EQ(m, m_);
  EXPECT_EQ(v, v_);
  EXPECT_EQ(to_text(encode(read->threads)), to_text(encode(journal_.threads)));
  ASSERT_EQ(read->log.size(), 1u);
  EXPECT_EQ(to_text(encode(read->log[0])), to_text(encode(journal_.log[0])));
  EXPECT_EQ(checkpoint_step(checkpoint_name(12)), 12);
  EXPECT_FALSE(checkpoint_step(checkpoint_name(12) + ".tmp"));
}

TEST_F(CheckpointTest, AnotherRunsIsRefusedAndChangesNothing) {
  ASSERT_TRUE(write_checkpoint(path(), journal_, state(), system_env()).ok());
  std::vector<float> w(100, 7.0f), m(100), v(100);
  EXPECT_EQ(read_checkpoint(path(), "abd", {w, m, v}).error().code, Code::Invalid);
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
    const auto read = read_checkpoint(path(), "abc", {w, m, v});
    ASSERT_FALSE(read.ok()) << i;
    EXPECT_NE(read.error().code, Code::Internal);
    ASSERT_EQ(w[0], 7.0f);
  }
}

// Bytes of the process that are its own: a mapped file's are not.
int64_t own_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmData:")) return std::atoll(line.c_str() + 7);
  return 0;
}

// The state of a large model is there once already: beside it there is no room for a file of the same size.
TEST_F(CheckpointTest, IsMappedWhenRead) {
  constexpr size_t kFloats = 8 << 20;  // 32 MiB each
  std::vector<float> w(kFloats, 1.0f), m(kFloats, 2.0f), v(kFloats, 3.0f);
  ASSERT_TRUE(write_checkpoint(path(), journal_, {w, m, v}, system_env()).ok());
  const pid_t child = ::fork();
  if (child == 0) {
    rlimit limit{};
    ::getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = static_cast<rlim_t>(own_kib() + (16 << 10)) << 10;
    ::setrlimit(RLIMIT_DATA, &limit);
    ::_exit(read_checkpoint(path(), "abc", {w, m, v}).ok() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace retort::train
