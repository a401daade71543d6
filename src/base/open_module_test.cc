#include "base/open_module.h"

#include <filesystem>

#include <gtest/gtest.h>

namespace retort {
namespace {

TEST(OpenModule, LiesBesideTheProgramWhereverItWasCalledFrom) {
  const auto path = module_path("x");
  ASSERT_TRUE(path.ok());
  const auto program = std::filesystem::canonical("/proc/self/exe");
  EXPECT_EQ(*path, (program.parent_path().parent_path() / "lib/retort/libretort_x.so").string());
}

TEST(OpenModule, WhatIsMissingIsNamed) {
  const auto module = open_module("no_such_module");
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.error().code, Code::NotFound);
  EXPECT_NE(module.error().message.find(*module_path("no_such_module")), std::string::npos) << module.error().message;
}

}  // namespace
}  // namespace retort
