// eval with a scripted model: order, resuming, faults and accounting; summaries and comparisons against figures worked
// out by hand.
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/random.h"
#include "eval/eval.h"
#include "eval/summary.h"
#include "model/fake_generator.h"

namespace retort::eval {
namespace {

std::vector<Prompt> questions(int n) {
  std::vector<Prompt> prompts;
  for (int i = 0; i < n; ++i) {
    Prompt p;
    p.id = "p" + std::to_string(i);
    p.messages = {{"user", "What is " + std::to_string(i) + " + 1?", "", nullptr}};
    p.answer = std::to_string(i + 1);
    p.task = i % 2 == 0 ? "even" : "odd";
    prompts.push_back(p);
  }
  return prompts;
}

// Answers "i + 1" with an error that depends on the request's seed only, so that replies are a function of the request.
Result<model::FakeAnswer> solve(const model::Request& request) {
  const std::string& text = request.messages.back().content;
  const int i = std::stoi(text.substr(8));
  Random random(*request.sampling.seed);
  const int slip = random.below(3) == 0 ? 1 : 0;
  return model::FakeAnswer{{"<think>add</think>The answer is " + std::to_string(i + 1 + slip) + "."}, "stop", 1, 0};
}

struct Ran {
  Result<Tally> tally = Tally{};
  std::string scores, rejects;
};

Ran evaluate(const Options& options, std::vector<Prompt> prompts, model::Generator& generator, Context context = {}) {
  VectorSource<Prompt> source(std::move(prompts));
  VectorSink<Score> kept;
  VectorSink<Reject> dropped;
  Ran out;
  out.tally = run(options, source, kept, dropped, generator, system_env(), std::move(context));
  for (const Score& s : kept.items) out.scores += to_text(encode(s)) + "\n";
  for (const Reject& r : dropped.items) out.rejects += to_text(encode(r)) + "\n";
  return out;
}

Options sampled(int samples) {
  Options options;
  options.samples = samples;
  options.temperature = 1;
  options.seed = 3;
  return options;
}

std::string scratch(const char* name) {
  const auto path =
      std::filesystem::temp_directory_path() / (std::string("retort_eval_") + name + std::to_string(::getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

TEST(Eval, ScoresDependOnNeitherConcurrencyNorArrival) {
  model::FakeGenerator one([](const model::Request& r, int64_t) { return solve(r); });
  model::FakeGenerator many([](const model::Request& r, int64_t) {
    auto answer = solve(r);
    answer->texts[0] += std::string(*r.sampling.seed % 37, '!');  // they end in another order than they began
    answer->texts[0].erase(answer->texts[0].find('.') + 1);
    answer->step_us = static_cast<int64_t>(*r.sampling.seed % 3);
    return answer;
  });
  Options options = sampled(4);
  options.concurrency = 1;
  const Ran a = evaluate(options, questions(20), one);
  options.concurrency = 64;
  const Ran b = evaluate(options, questions(20), many);
  ASSERT_TRUE(a.tally.ok()) << a.tally.error().message;
  EXPECT_EQ(a.scores, b.scores);
  for (const uint64_t disorder : {1, 2, 3}) {
    model::FakeGenerator wild([](const model::Request& r, int64_t) { return solve(r); }, "fake", disorder);
    EXPECT_EQ(evaluate(options, questions(20), wild).scores, a.scores) << disorder;
  }
  EXPECT_EQ(a.tally->in, 20);
  EXPECT_EQ(a.tally->kept, 80);
  EXPECT_GT(a.tally->counts.at("correct"), 30);
  EXPECT_GT(a.tally->counts.at("wrong"), 5);
  EXPECT_EQ(a.tally->counts.contains("no_answer"), false);
  EXPECT_NE(a.scores.find("\"reasoning\":\"add\""), std::string::npos);
  options.seed = 4;
  EXPECT_NE(evaluate(options, questions(20), one).scores, a.scores);
}

TEST(Eval, ResumesToTheSameBytesWithoutAskingAgain) {
  const std::string folder = scratch("resume");
  const Options options = sampled(3);
  model::FakeGenerator whole([](const model::Request& r, int64_t) { return solve(r); });
  const Ran untroubled = evaluate(options, questions(12), whole);
  ASSERT_TRUE(untroubled.tally.ok());

  for (const int stop_after : {1, 7, 20, 35}) {
    const std::string partial = folder + "/p" + std::to_string(stop_after);
    model::FakeGenerator dying([&](const model::Request& r, int64_t n) -> Result<model::FakeAnswer> {
      if (n >= stop_after) return fail(Code::Io, "the model's disk is gone");
      return solve(r);
    });
    Options narrow = options;
    narrow.concurrency = 2;
    const Ran broken = evaluate(narrow, questions(12), dying, {partial, "", {}, {}});
    ASSERT_FALSE(broken.tally.ok());
    EXPECT_EQ(broken.tally.error().code, Code::Io);
    // A kill in the middle of a line, too.
    auto file = system_env().append_file(partial, false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->append("{\"id\":\"tor").ok());

    std::atomic<int> asked{0};
    model::FakeGenerator healthy([&](const model::Request& r, int64_t) {
      ++asked;
      return solve(r);
    });
    const Ran resumed = evaluate(options, questions(12), healthy, {partial, "", {}, {}});
    ASSERT_TRUE(resumed.tally.ok()) << resumed.tally.error().message;
    EXPECT_EQ(resumed.scores, untroubled.scores);
    // The one other request in flight when the model failed may be asked again, nothing else.
    const auto& counts = resumed.tally->counts;
    const int64_t kept = counts.contains("resumed") ? counts.at("resumed") : 0;
    EXPECT_LE(kept, stop_after);
    EXPECT_GE(kept, stop_after - 1);
    EXPECT_EQ(asked, 36 - kept);
  }
  // Torn, resumed, stopped and resumed again: what came after the torn line still counts.
  const std::string twice = folder + "/twice";
  for (int run = 0; run < 3; ++run) {
    if (run > 0) {
      ASSERT_TRUE((*system_env().append_file(twice, false))->append("{\"id\":\"to").ok());
    }
    model::FakeGenerator dying([](const model::Request& r, int64_t n) -> Result<model::FakeAnswer> {
      if (n >= 8) return fail(Code::Io, "the model's disk is gone");
      return solve(r);
    });
    Options narrow = options;
    narrow.concurrency = 1;
    EXPECT_FALSE(evaluate(narrow, questions(12), dying, {twice, "", {}, {}}).tally.ok());
  }
  const Ran third = evaluate(options, questions(12), whole, {twice, "", {}, {}});
  ASSERT_TRUE(third.tally.ok());
  EXPECT_EQ(third.tally->counts.at("resumed"), 24);
  EXPECT_EQ(third.scores, untroubled.scores);
  // Other options: the old scores are set aside, not mixed in.
  Options other = options;
  other.seed = 99;
  const Ran fresh = evaluate(other, questions(12), whole, {folder + "/p7", "", {}, {}});
  ASSERT_TRUE(fresh.tally.ok());
  EXPECT_FALSE(fresh.tally->counts.contains("resumed"));
  EXPECT_TRUE(system_env().exists(folder + "/p7.old"));
  std::filesystem::remove_all(folder);
}

TEST(Eval, RetriesWhatIsAwayAndGivesUpInTheEnd) {
  std::map<std::string, int> tries;
  std::mutex mutex;
  const auto flaky = [&](int failures) {
    return [&, failures](const model::Request& r, int64_t) -> Result<model::FakeAnswer> {
      const std::lock_guard lock(mutex);
      if (tries[r.messages[0].content]++ < failures) return Error{Code::Unavailable, "429: slow down", 1};
      return solve(r);
    };
  };
  Options options;
  options.retries = 2;
  model::FakeGenerator fine(flaky(2));
  const Ran ok = evaluate(options, questions(5), fine);
  ASSERT_TRUE(ok.tally.ok()) << ok.tally.error().message;
  EXPECT_EQ(ok.tally->kept, 5);
  tries.clear();
  model::FakeGenerator broken(flaky(3));
  const Ran bad = evaluate(options, questions(5), broken);
  ASSERT_FALSE(bad.tally.ok());
  EXPECT_EQ(bad.tally.error().code, Code::Unavailable);
}

TEST(Eval, AccountsForEveryPrompt) {
  std::vector<Prompt> prompts = questions(4);
  prompts[1].answer = "";
  model::FakeGenerator generator([](const model::Request& r, int64_t) -> Result<model::FakeAnswer> {
    if (r.messages.back().content.starts_with("What is 2"))
      return fail(Code::Invalid, "the prompt has 9000 tokens, the context 2048");
    if (r.messages.back().content.starts_with("What is 3"))
      return model::FakeAnswer{{"I do not know that."}, "length", 1, 0};
    return solve(r);
  });
  const Ran out = evaluate({}, prompts, generator);
  ASSERT_TRUE(out.tally.ok());
  EXPECT_EQ(out.tally->in, 4);
  EXPECT_EQ(out.tally->kept, 2);
  EXPECT_EQ(out.tally->dropped, 2);
  EXPECT_EQ(out.tally->reasons.at("no_reference"), 1);
  EXPECT_EQ(out.tally->reasons.at("refused"), 1);
  EXPECT_NE(out.rejects.find("9000 tokens"), std::string::npos);

  prompts = questions(2);
  prompts.push_back(prompts[0]);
  const Ran again = evaluate({}, prompts, generator);
  ASSERT_TRUE(again.tally.ok());
  EXPECT_EQ(again.tally->kept, 2);
  EXPECT_EQ(again.tally->reasons.at("duplicate"), 1);
  EXPECT_NE(again.rejects.find("same question as row 1"), std::string::npos);

  prompts = questions(2);
  prompts[1].id = prompts[0].id;
  const Ran twice = evaluate({}, prompts, generator);
  ASSERT_FALSE(twice.tally.ok());
  EXPECT_NE(twice.tally.error().message.find("`p0`"), std::string::npos);
}

// A wrong key refuses everything: that is an Error, not a task set full of rejects.
TEST(Eval, TellsAWrongKeyFromALongPrompt) {
  for (const int n : {3, 60}) {
    model::FakeGenerator locked([](const model::Request&, int64_t) -> Result<model::FakeAnswer> {
      return fail(Code::Invalid, "401: wrong key");
    });
    const Ran out = evaluate({}, questions(n), locked);
    ASSERT_FALSE(out.tally.ok()) << n;
    EXPECT_NE(out.tally.error().message.find("wrong key"), std::string::npos);
  }
}

TEST(Eval, StopsWhenAsked) {
  Cancel cancel;
  model::FakeGenerator slow([&](const model::Request& r, int64_t n) {
    if (n == 3) cancel.request();
    auto answer = solve(r);
    answer->step_us = 2000;
    return answer;
  });
  const Ran out = evaluate({}, questions(50), slow, {"", "", cancel, {}});
  ASSERT_FALSE(out.tally.ok());
  EXPECT_EQ(out.tally.error().code, Code::Cancelled);
}

TEST(Eval, RefusesOptionsThatMeanNothing) {
  model::FakeGenerator generator([](const model::Request& r, int64_t) { return solve(r); });
  Options options;
  options.samples = 4;  // greedy
  const Ran out = evaluate(options, questions(1), generator);
  ASSERT_FALSE(out.tally.ok());
  EXPECT_EQ(out.tally.error().code, Code::Invalid);
  EXPECT_NE(out.tally.error().message.find("temperature"), std::string::npos);
}

Score score(const std::string& prompt, int sample, const std::string& pred, bool correct,
            const std::string& task = "t") {
  Score s;
  s.prompt_id = prompt;
  s.sample = sample;
  s.model = "m";
  s.task = task;
  s.gold = "1";
  s.pred = pred;
  s.correct = correct;
  s.finish_reason = pred.empty() ? "length" : "stop";
  s.tokens = 10;
  return s;
}

TEST(Summary, CountsByHand) {
  // Prompt a: 1 1 2 (majority right), b: 2 2 1 (wrong), c: 3 "" 1 (tie of 3 and 1: the earliest, wrong).
  const std::vector<Score> scores = {score("a", 0, "1", true),  score("a", 1, "1.0", true), score("a", 2, "2", false),
                                     score("b", 0, "2", false), score("b", 1, "2", false),  score("b", 2, "1", true),
                                     score("c", 0, "3", false), score("c", 1, "", false),   score("c", 2, "1", true)};
  const Summary s = summarise(scores);
  EXPECT_EQ(s.model, "m");
  EXPECT_EQ(s.all.prompts, 3);
  EXPECT_EQ(s.all.samples, 3);
  EXPECT_DOUBLE_EQ(s.all.pass1, 4.0 / 9);
  EXPECT_DOUBLE_EQ(s.all.majority, 1.0 / 3);
  EXPECT_DOUBLE_EQ(s.all.truncated, 1.0 / 9);
  EXPECT_DOUBLE_EQ(s.all.no_answer, 1.0 / 9);
  EXPECT_DOUBLE_EQ(s.all.mean_tokens, 10);
  EXPECT_TRUE(s.all.small);
  EXPECT_DOUBLE_EQ(s.all.pass_at.at(1), 4.0 / 9);
  EXPECT_DOUBLE_EQ(s.all.pass_at.at(2), (1 + 2.0 / 3 + 2.0 / 3) / 3);
  EXPECT_DOUBLE_EQ(s.all.pass_at.at(3), 1);
  EXPECT_EQ(s.all.pass_at.size(), 3u);
  EXPECT_LT(s.all.pass1_interval.low, 4.0 / 9);
  EXPECT_GT(s.all.pass1_interval.high, 4.0 / 9);
  EXPECT_NE(table(s).find("maj@3"), std::string::npos);
}

TEST(Summary, ClusteredIntervalIsWiderThanPretendingIndependence) {
  std::vector<Score> scores;
  Random random(1);
  for (int p = 0; p < 100; ++p) {
    const double chance = random.uniform() < 0.5 ? 0.1 : 0.9;  // prompts differ
    for (int s = 0; s < 8; ++s) {
      const bool correct = random.uniform() < chance;
      scores.push_back(score("p" + std::to_string(p), s, correct ? "1" : "2", correct));
    }
  }
  const Figures f = summarise(scores).all;
  const auto naive = stats::wilson(static_cast<int64_t>(f.pass1 * 800 + 0.5), 800);
  EXPECT_GT(f.pass1_interval.high - f.pass1_interval.low, 1.8 * (naive.high - naive.low));
}

TEST(Compare, PairsByPrompt) {
  std::vector<Score> a, b;
  for (int p = 0; p < 40; ++p) {
    const std::string id = "p" + std::to_string(p), task = p < 20 ? "x" : "y";
    a.push_back(score(id, 0, "1", p % 4 == 0, task));                // right on 10
    b.push_back(score(id, 0, "1", p % 4 == 0 || p % 4 == 1, task));  // and on 10 more
  }
  b.push_back(score("only in b", 0, "1", true, "x"));
  const auto rows = compare(a, b);
  ASSERT_EQ(rows.size(), 3u);
  const Comparison& all = rows[0];
  EXPECT_EQ(all.prompts, 40);
  EXPECT_EQ(all.unpaired, 1);
  EXPECT_EQ(all.both, 10);
  EXPECT_EQ(all.only_a, 0);
  EXPECT_EQ(all.only_b, 10);
  EXPECT_EQ(all.neither, 20);
  EXPECT_DOUBLE_EQ(all.difference, 0.25);
  EXPECT_DOUBLE_EQ(all.p_value, 2.0 / 1024);
  EXPECT_EQ(all.test, "mcnemar");
  EXPECT_GT(all.interval.low, 0.1);
  EXPECT_LT(all.interval.high, 0.42);
  EXPECT_FALSE(all.small);
  EXPECT_TRUE(rows[1].small);
  EXPECT_EQ(rows[1].task, "x");
  const auto reversed = compare(b, a);
  EXPECT_DOUBLE_EQ(reversed[0].difference, -0.25);
  EXPECT_DOUBLE_EQ(reversed[0].p_value, all.p_value);
  EXPECT_NE(table(rows).find("McNemar"), std::string::npos);

  for (int p = 0; p < 40; ++p) a.push_back(score("p" + std::to_string(p), 1, "1", p % 4 == 0, p < 20 ? "x" : "y"));
  EXPECT_EQ(compare(a, b)[0].test, "permutation");
  EXPECT_LT(compare(a, b)[0].p_value, 0.01);
  EXPECT_TRUE(compare({}, {})[0].small);
}

}  // namespace
}  // namespace retort::eval
