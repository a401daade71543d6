// Checks of single texts against real ones: what they must find, and what they must leave alone.
#include <gtest/gtest.h>

#include "curate/identity.h"
#include "curate/loop.h"
#include "record/stream.h"
#include "tests/data.h"

namespace retort::curate {
namespace {

std::vector<Json> rows_of(const std::string& path) {
  std::vector<Json> rows;
  const auto lines = open_lines(path);
  EXPECT_TRUE(lines.ok());
  for (; lines.ok();) {
    const auto line = (*lines)->next();
    EXPECT_TRUE(line.ok());
    if (!line.ok() || !line->has_value()) break;
    const auto json = parse_json(**line);
    EXPECT_TRUE(json.ok());
    if (json.ok()) rows.push_back(*json);
  }
  EXPECT_GT(rows.size(), 10u);
  return rows;
}

// 500 dialogues in which a model names itself: first answers that do, found or missed.
TEST(CurateData, FindsModelsThatNameThemselves) {
  RETORT_SHARED_OR_SKIP(path, "chat/identity_conversations.jsonl.zst");
  int found = 0, all = 0;
  for (const Json& row : rows_of(path)) {
    const auto& turns = row["conversations"];
    const std::string text = turns[1]["value"].get<std::string>(), question = turns[0]["value"].get<std::string>();
    const bool names = text.find("Vicuna") != std::string::npos || text.find("LMSYS") != std::string::npos ||
                       text.find("language model") != std::string::npos;
    if (!names) continue;
    ++all;
    const bool hit = scrub_identity(text, question, {}).removed > 0;
    found += hit ? 1 : 0;
    if (!hit && all - found < 10) std::printf("missed: %s\n", text.c_str());
  }
  RecordProperty("found", found);
  RecordProperty("of", all);
  EXPECT_GT(all, 300);
  EXPECT_GE(found, all * 98 / 100) << found << " of " << all;
}

// Worked solutions by people: nobody names a model there, nobody loops.
TEST(CurateData, LeavesPeoplesSolutionsAlone) {
  RETORT_SHARED_OR_SKIP(path, "gsm8k/train.jsonl");
  int leaks = 0, loops = 0;
  for (const Json& row : rows_of(path)) {
    const std::string text = row["answer"].get<std::string>();
    const Scrub scrub = scrub_identity(text, row["question"].get<std::string>(), {});
    if (scrub.removed > 0 && ++leaks < 10) std::printf("leak? %s in %s\n", scrub.first.c_str(), text.c_str());
    if (const std::string loop = find_loop(text, {}); !loop.empty() && ++loops < 10)
      std::printf("loop? %s in %s\n", loop.c_str(), text.c_str());
  }
  EXPECT_EQ(leaks, 0);
  EXPECT_EQ(loops, 0);
}

TEST(CurateData, LeavesLongReasoningAlone) {
  RETORT_SHARED_OR_SKIP(path, "traces/reasoning_traces.jsonl");
  RETORT_SHARED_OR_SKIP(proofs, "traces/proofs_dev.jsonl.zst");
  for (const Json& row : rows_of(path)) {
    const std::string text = row["reasoning"].get<std::string>();
    EXPECT_EQ(find_loop(text, {}), "") << text;
    EXPECT_EQ(scrub_identity(text, "", {}).first, "");
  }
  for (const Json& row : rows_of(proofs)) {
    const std::string text = row["proof"].get<std::string>();
    EXPECT_EQ(find_loop(text, {}), "");
    EXPECT_EQ(scrub_identity(text, "", {}).first, "");
  }
}

}  // namespace
}  // namespace retort::curate
