#include "app/pipeline.h"

#include <gtest/gtest.h>

#include "base/options.h"

namespace retort::app {
namespace {

// A kind that copies its `from` file with a suffix and counts how often it ran.
int g_runs = 0;
Status g_fault;

Status check_copy(const Json& options) { return options_detail::check_keys(options, {"from", "suffix", "number"}, ""); }
Result<Forecast> forecast_copy(const StepContext&) { return Forecast{1.5, 10, 20, "made up"}; }
Status run_copy(StepContext& context) {
  ++g_runs;
  if (!g_fault.ok()) return g_fault;
  RETORT_ASSIGN(const std::string from, get_string(context.options, "from", ""));
  RETORT_ASSIGN(const std::string suffix, get_string(context.options, "suffix", ""));
  RETORT_ASSIGN(const std::string text, context.env.read_file(from));
  RETORT_TRY(context.env.write_file(context.work + "/scratch", std::to_string(g_runs)));
  return context.env.write_file(context.out + "/out.txt", text + suffix);
}

const StepKind kCopy{"copy", 1, {"from"}, check_copy, forecast_copy, run_copy};
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

TEST_F(PipelineTest, AFailedStepGoesOnWhereItStopped) {
  g_fault = fail(Code::Io, "disk full");
  auto failed = go(kTwo);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, Code::Io);
  EXPECT_EQ(failed.error().message, "step `a`: disk full");
  g_fault = {};
  ASSERT_TRUE(env_.write_file(dir_ + "/out/a/work/kept", "partial").ok());
  ASSERT_TRUE(go(kTwo).ok());
  EXPECT_EQ(read("out/a/work/kept"), "partial");
  ASSERT_TRUE(go(kTwo, {"mark=z"}).ok());
  EXPECT_FALSE(env_.exists(dir_ + "/out/a/work/kept"));
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
            at + ": step `a` reads " + dir_ + "/none.txt, which does not exist");
  EXPECT_EQ(message(kTwo, {"marc=1"}), at + ": `--set marc=1`: this recipe has no value `marc`; did you mean `mark`?");
}

}  // namespace
}  // namespace retort::app
