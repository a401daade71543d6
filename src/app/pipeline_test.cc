#include "app/pipeline.h"

#include <gtest/gtest.h>

#include "app/step_clock.h"
#include "app/unfinished.h"
#include "base/hash.h"
#include "base/options.h"
#include "ledger/cost_book.h"
#include "ledger/provenance.h"

namespace retort::app {
namespace {

// A kind that copies its `from` file with a suffix and counts how often it ran.
int g_runs = 0;
Status g_fault;

Status check_copy(const Json& options, Env&) {
  return options_detail::check_keys(options, {"from", "suffix", "number"}, "");
}
Result<Forecast> forecast_copy(const StepContext&) { return Forecast{1.5, 10, 20, "made up"}; }
Status run_copy(StepContext& context) {
  ++g_runs;
  if (!g_fault.ok()) {
    RETORT_TRY(context.env.write_file(context.work + "/kept", "partial"));
    return g_fault;
  }
  RETORT_ASSIGN(const std::string from, get_string(context.options, "from", ""));
  RETORT_ASSIGN(const std::string suffix, get_string(context.options, "suffix", ""));
  RETORT_ASSIGN(const std::string text, context.env.read_file(from));
  RETORT_TRY(context.env.write_file(context.work + "/scratch", std::to_string(g_runs)));
  return context.env.write_file(context.out + "/out.txt", text + suffix);
}

const StepKind kCopy{"copy", 1, {{"from", "string", "", "", {.path = true}}}, check_copy, forecast_copy, run_copy};
const StepKind* kinds(const std::string& name) { return name == "copy" ? &kCopy : nullptr; }

class PipelineTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "pipeline_test_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    (void)env_.remove_all(dir_);
    ASSERT_TRUE(env_.make_directories(dir_).ok());
    ASSERT_TRUE(env_.write_file(dir_ + "/in.txt", "in").ok());
    g_runs = 0;
    g_fault = {};
  }
  void TearDown() override { (void)env_.remove_all(dir_); }

  Result<std::vector<StepReport>> go(const std::string& yaml, std::vector<std::string> sets = {}, bool dry = false) {
    RETORT_TRY(env_.write_file(dir_ + "/recipe.yaml", yaml));
    RETORT_ASSIGN(const Recipe recipe, read_recipe(dir_ + "/recipe.yaml", sets, env_));
    return run_pipeline(recipe, {dir_ + "/out", dry, false}, kinds, env_, {});
  }
  std::string read(const std::string& name) { return *env_.read_file(dir_ + "/" + name); }

  Env& env_ = system_env();
  std::string dir_;
};

constexpr const char* kTwo = R"(
name: two
set: {mark: x}
steps:
  b: {do: copy, from: "${a}/out.txt", suffix: "-b"}
  a: {do: copy, from: in.txt, suffix: "${mark}"}
)";

TEST_F(PipelineTest, RunsInOrderOnceAndExplains) {
  auto first = go(kTwo);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(read("out/b/out.txt"), "inx-b");
  EXPECT_EQ(g_runs, 2);
  auto second = go(kTwo);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(g_runs, 2);
  EXPECT_FALSE((*second)[0].ran);

  auto third = go(kTwo, {"mark=y"});
  ASSERT_TRUE(third.ok()) << third.error().message;
  EXPECT_EQ(g_runs, 4);
  EXPECT_EQ((*third)[0].reasons, std::vector<std::string>{R"(option `suffix` was "x" and is "y")"});
  EXPECT_EQ(read("out/b/out.txt"), "iny-b");
}

TEST_F(PipelineTest, AValueIsTheSameFromTheFileAndFromSet) {
  constexpr const char* kNumbered = "name: one\nsteps:\n  a: {do: copy, from: in.txt, suffix: \"x\", number: 3}\n";
  ASSERT_TRUE(go(kNumbered).ok());
  auto again = go(kNumbered, {"a.number=3"});
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_FALSE((*again)[0].ran);
  again = go(kNumbered, {"a.number=4"});
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE((*again)[0].ran);
}

TEST_F(PipelineTest, AnUnchangedOutputStopsTheWave) {
  ASSERT_TRUE(go(kTwo).ok());
  // `a` runs again for another option but writes the same bytes, so `b` does not.
  ASSERT_TRUE(env_.write_file(dir_ + "/in.txt", "i").ok());
  auto again = go(kTwo, {"mark=nx"});
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE((*again)[0].ran);
  EXPECT_FALSE((*again)[1].ran);
}

TEST_F(PipelineTest, DamagedOutputAndChangedInputRerun) {
  ASSERT_TRUE(go(kTwo).ok());
  ASSERT_TRUE(env_.remove_all(dir_ + "/out/a/out.txt").ok());
  auto again = go(kTwo);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)[0].reasons, std::vector<std::string>{"its output out.txt is gone"});
  EXPECT_FALSE((*again)[1].ran);
  ASSERT_TRUE(env_.write_file(dir_ + "/in.txt", "other").ok());
  again = go(kTwo);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE((*again)[0].ran && (*again)[1].ran);
}

TEST_F(PipelineTest, AnOutputThatWasEditedIsTheUsers) {
  ASSERT_TRUE(go(kTwo).ok());
  ASSERT_TRUE(env_.write_file(dir_ + "/out/a/out.txt", "abc").ok());  // of equal size
  const auto dry = go(kTwo, {}, true);
  ASSERT_TRUE(dry.ok());
  EXPECT_EQ((*dry)[0].reasons, std::vector<std::string>{"its output out.txt was changed"});
  for (const std::vector<std::string>& sets : {std::vector<std::string>(), {"mark=y"}}) {
    const auto refused = go(kTwo, sets);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find(dir_ + "/out/a/out.txt was changed"), std::string::npos);
    EXPECT_EQ(read("out/a/out.txt"), "abc");
  }
  EXPECT_EQ(g_runs, 2);
  // The same bytes in another file are the same output.
  ASSERT_TRUE(env_.write_file(dir_ + "/out/a/out.txt", "inx").ok());
  auto again = go(kTwo);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(g_runs, 2);
}

TEST_F(PipelineTest, WhatAStepDidNotMakeStaysInItsFolder) {
  ASSERT_TRUE(go(kTwo).ok());
  for (const char* name : {"/out/b/notes.txt", "/out/b/work/notes.txt"}) {
    ASSERT_TRUE(env_.write_file(dir_ + name, "mine").ok());
    const auto refused = go(kTwo, {"b.suffix=z"});
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find(dir_ + name + " was not made by retort"), std::string::npos);
    EXPECT_TRUE(env_.exists(dir_ + "/out/b/stamp.json") && env_.exists(dir_ + "/out/b/out.txt"));
    ASSERT_TRUE(env_.remove_all(dir_ + name).ok());
  }
  ASSERT_TRUE(go(kTwo, {"b.suffix=z"}).ok());
  EXPECT_EQ(read("out/b/out.txt"), "inxz");
}

TEST_F(PipelineTest, AFailedStepGoesOnWhereItStopped) {
  g_fault = fail(Code::Io, "disk full");
  auto failed = go(kTwo);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, Code::Io);
  EXPECT_EQ(failed.error().message, "step `a`: disk full");
  g_fault = {};
  ASSERT_TRUE(go(kTwo).ok());
  EXPECT_EQ(read("out/a/work/kept"), "partial");
  ASSERT_TRUE(go(kTwo, {"mark=z"}).ok());
  EXPECT_FALSE(env_.exists(dir_ + "/out/a/work/kept"));
}

TEST_F(PipelineTest, EachFinishedStepIsInTheProvenanceBookOnce) {
  const auto book = [&] { return *ledger::read_provenance(dir_ + "/out/provenance.jsonl", env_); };
  ASSERT_TRUE(go(kTwo).ok());
  const auto first = book();
  ASSERT_EQ(first.size(), 2u);
  const Json& a = first[0].payload;
  const Json& b = first[1].payload;
  EXPECT_EQ(first[0].kind, "copy");
  EXPECT_EQ(a["step"], "a");
  EXPECT_EQ(a["kind"], "copy/1");
  EXPECT_EQ(a["inputs"], Json({{"in.txt", sha256("in")}}));
  EXPECT_EQ(a["outputs"], Json({{"out.txt", sha256("inx")}}));
  EXPECT_EQ(b["parents"], Json({"a"}));
  EXPECT_EQ(b["inputs"]["${a}/out.txt"], a["outputs"]["out.txt"]);

  const std::string whole = read("out/provenance.jsonl");
  ASSERT_TRUE(go(kTwo).ok());
  EXPECT_EQ(read("out/provenance.jsonl"), whole);
  // Killed between a stamp and its entry, or within the entry: the next run makes up for it.
  const size_t second = whole.find('\n') + 1;
  for (const size_t cut : {size_t{0}, size_t{1}, second - 1, second, second + 30, whole.size() - 1}) {
    ASSERT_TRUE(env_.write_file(dir_ + "/out/provenance.jsonl", whole.substr(0, cut)).ok());
    ASSERT_TRUE(go(kTwo).ok());
    const auto again = book();
    ASSERT_EQ(again.size(), 2u) << cut;
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(again[i].payload["outputs"], first[i].payload["outputs"]);
  }
  EXPECT_EQ(g_runs, 2);
  // Another output is another entry; so is the way back.
  ASSERT_TRUE(go(kTwo, {"mark=y"}).ok());
  EXPECT_EQ(book().size(), 4u);
  ASSERT_TRUE(go(kTwo).ok());
  EXPECT_EQ(book().size(), 6u);
  // A broken book stops the run before any work.
  std::string forged = read("out/provenance.jsonl");
  forged[forged.find("copy/1")] = 'k';
  ASSERT_TRUE(env_.write_file(dir_ + "/out/provenance.jsonl", forged).ok());
  const auto refused = go(kTwo, {"mark=z"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::Corrupt);
  EXPECT_NE(refused.error().message.find("line 1 "), std::string::npos) << refused.error().message;
  EXPECT_EQ(g_runs, 6);
}

TEST_F(PipelineTest, TheTimeOfAbandonedWorkIsBooked) {
  g_fault = fail(Code::Io, "disk full");
  ASSERT_FALSE(go(kTwo).ok());
  const std::string work = dir_ + "/out/a/work";
  const auto clock = read_clock(work, env_);
  ASSERT_TRUE(clock.ok());
  // As a kill after 41.5 seconds would leave it, the last note cut short.
  ASSERT_TRUE(env_.write_file(work + "/clock.txt", clock->run + "\n0.000\n41.500\n99").ok());
  const auto open = unfinished_row(dir_ + "/out/a", env_);
  ASSERT_TRUE(open.ok() && *open);
  EXPECT_EQ((*open)->seconds, 41.5);
  g_fault = {};
  ASSERT_TRUE(go(kTwo, {"mark=other"}).ok());  // other options: that work is thrown away
  auto stages = ledger::by_stage(*ledger::read_costs(dir_ + "/out/costs.jsonl", env_));
  ASSERT_EQ(stages[0].stage, "a");
  EXPECT_EQ(stages[0].failed_seconds, 41.5);
  EXPECT_GT(stages[0].seconds, 41.5);
  EXPECT_FALSE(*unfinished_row(dir_ + "/out/a", env_));
  // The same options as the abandoned work: a row of its own, which replaces none.
  ASSERT_TRUE(go(kTwo).ok());
  stages = ledger::by_stage(*ledger::read_costs(dir_ + "/out/costs.jsonl", env_));
  EXPECT_EQ(ledger::read_costs(dir_ + "/out/costs.jsonl", env_)->size(), 5u);
  EXPECT_EQ(stages[0].failed_seconds, 41.5);
}

TEST_F(PipelineTest, AStepsSecondsOutliveAKill) {
  g_fault = fail(Code::Io, "disk full");
  ASSERT_FALSE(go(kTwo).ok());
  const std::string work = dir_ + "/out/a/work";
  const auto clock = read_clock(work, env_);
  ASSERT_TRUE(env_.write_file(work + "/clock.txt", clock->run + "\n0.000\n41.500\n").ok());
  g_fault = {};
  const auto done = go(kTwo);
  ASSERT_TRUE(done.ok());
  EXPECT_GE((*done)[0].seconds, 41.5);
  const auto rows = *ledger::read_costs(dir_ + "/out/costs.jsonl", env_);
  EXPECT_EQ(rows[0].run, "a/" + clock->run);
  EXPECT_GE(rows[0].seconds, 41.5);
}

TEST_F(PipelineTest, DryRunRunsNothing) {
  auto dry = go(kTwo, {}, true);
  ASSERT_TRUE(dry.ok()) << dry.error().message;
  EXPECT_EQ(g_runs, 0);
  EXPECT_FALSE(env_.exists(dir_ + "/out"));
  EXPECT_EQ((*dry)[1].forecast.seconds, 1.5);
}

TEST_F(PipelineTest, FaultsOfARecipeAreNamed) {
  const auto message = [&](const std::string& yaml, std::vector<std::string> sets = {}) {
    auto result = go(yaml, std::move(sets));
    return result.ok() ? std::string("ok") : result.error().message;
  };
  const std::string at = dir_ + "/recipe.yaml";
  EXPECT_EQ(message("name: x\nstep: {}\n"), at + ": unknown option `step`; did you mean `steps`?");
  EXPECT_EQ(message("name: x\nsteps: {a: {do: copy, from: '${b}/x'}}"),
            at + ": a.from: `${b}` is neither a step nor a value of `set`; did you mean `${a}`?");
  EXPECT_EQ(message("name: x\nsteps: {a: {do: copy, from: '${b}/x'}, b: {do: copy, from: '${a}/x'}}"),
            at + ": these steps refer to one another in a ring: a, b");
  EXPECT_EQ(message("name: x\nsteps: {a: {do: copy, form: in.txt}}"),
            at + ": step `a`: unknown option `form`; did you mean `from`?");
  EXPECT_EQ(message("name: x\nsteps: {a: {do: copy, from: none.txt}}"),
            at + ": step `a`: it reads " + dir_ + "/none.txt, which does not exist");
  EXPECT_EQ(message(kTwo, {"marc=1"}), at + ": `--set marc=1`: this recipe has no value `marc`; did you mean `mark`?");
}

}  // namespace
}  // namespace retort::app
