#include "model/think.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace retort::model {
namespace {

using Parts = std::pair<std::string, std::string>;

Parts whole(std::string_view text) {
  Parts parts;
  split_think(text, parts.first, parts.second);
  return parts;
}

TEST(Think, Whole) {
  EXPECT_EQ(whole("<think>\n2 + 2\n</think>\n\nIt is 4. "), (Parts{"2 + 2", "It is 4. "}));
  EXPECT_EQ(whole(" \n<think>a b</think>c"), (Parts{"a b", "c"}));
  EXPECT_EQ(whole("  no thought <think>x</think>"), (Parts{"", "  no thought <think>x</think>"}));
  EXPECT_EQ(whole("<think>never closed </thin"), (Parts{"never closed </thin", ""}));
  EXPECT_EQ(whole("<thinking>x"), (Parts{"", "<thinking>x"}));
  EXPECT_EQ(whole("<think></think>"), (Parts{"", ""}));
  EXPECT_EQ(whole("opened by the template</think>\nyes"), (Parts{"opened by the template", "yes"}));
  EXPECT_EQ(whole("<think>a < b </ c</think> d</think>"), (Parts{"a < b </ c", "d</think>"}));
  EXPECT_EQ(whole(""), (Parts{"", ""}));
  EXPECT_EQ(whole("  "), (Parts{"", "  "}));
}

TEST(Think, PiecesAddUpToTheWhole) {
  const std::string text = " <think> one\n\n</thin two  <think> </think>\n\n three <think>4</think> ";
  const Parts expected = whole(text);
  for (size_t i = 0; i <= text.size(); ++i) {
    for (size_t j = i; j <= text.size(); ++j) {
      ThinkSplitter splitter;
      Parts parts;
      splitter.feed(std::string_view(text).substr(0, i), parts.first, parts.second);
      splitter.feed(std::string_view(text).substr(i, j - i), parts.first, parts.second);
      splitter.feed(std::string_view(text).substr(j), parts.first, parts.second);
      splitter.finish(parts.first, parts.second);
      ASSERT_EQ(parts, expected) << i << " " << j;
    }
  }
}

TEST(Think, RandomTextsByRandomPieces) {
  Random random(3);
  const char* words[] = {"<think>", "</think>", "<", "</", "think>", " ", "\n", "x", "</thi", "<th"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint64_t k = random.below(12); k > 0; --k) text += words[random.below(10)];
    ThinkSplitter once, pieces;
    Parts a, b;
    once.feed(text, a.first, a.second);
    once.finish(a.first, a.second);
    for (size_t i = 0; i < text.size();) {
      const size_t n = 1 + random.below(5);
      pieces.feed(std::string_view(text).substr(i, n), b.first, b.second);
      i += n;
    }
    pieces.finish(b.first, b.second);
    ASSERT_EQ(a, b) << text;
  }
}

}  // namespace
}  // namespace retort::model
