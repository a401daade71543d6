// The engine on a small random model: whatever is in the batch, however the prompt is cut, with any number of threads
// and with caches taken away and recomputed, a request's tokens and log-probabilities have the same bits. Against
// transformers on real weights: tests/test_engine.py.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <future>
#include <limits>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/random.h"
#include "infer/engine.h"
#include "infer/pack.h"
#include "infer/sampler.h"
#include "infer/scorer.h"
#include "infer/text_stream.h"
#include "kernels/isa.h"
#include "model/bpe.h"
#include "model/chat_template.h"

namespace retort::infer {
namespace {

constexpr int32_t kEos = 256;

model::Tokenizer byte_tokenizer() {
  model::TokenizerSpec spec;
  for (const std::string& letter : model::byte_alphabet()) spec.tokens.push_back(letter);
  spec.added.push_back({"<eos>", true, false, false, false, false});
  spec.added.push_back({"<think>", false, false, false, false, false});
  spec.added.push_back({"</think>", false, false, false, false, false});
  spec.pre_tokenizer = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  spec.decoder = {{"type", "ByteLevel"}};
  spec.eos_token = "<eos>";
  auto made = model::Tokenizer::make(spec);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return *made;
}

std::shared_ptr<const model::Model> tiny_model(uint64_t seed = 1) {
  auto m = std::make_shared<model::Model>(model::Model{{}, byte_tokenizer(), std::nullopt, "", ""});
  m->name = "tiny";
  model::Config& c = m->config;
  c.vocab_size = 259;
  c.hidden_size = 48;
  c.layers = 2;
  c.heads = 6;
  c.kv_heads = 2;
  c.head_dim = 8;
  c.ffn_size = 80;
  c.max_context = 700;
  c.tied_embeddings = true;
  c.eos_ids = {kEos};
  for (const auto& expected : model::expected_tensors(c)) {
    const int64_t count = *model::weight_count(expected.shape);
    Random random(seed, fnv1a(expected.name));
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values)
      v = expected.shape.size() == 1 ? 1.0f
                                     : static_cast<float>(random.normal()) * (expected.shape[0] == 259 ? 0.5f : 0.3f);
    m->tensors.emplace(expected.name, model::make_tensor(expected.shape, std::move(values)));
  }
  return m;
}

std::unique_ptr<Engine> engine(const Options& options = {}) {
  static const auto model = tiny_model();
  auto made = Engine::create(model, options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return std::move(*made);
}

model::Request request(int length, uint64_t seed, int max_tokens = 24) {
  model::Request r;
  Random random(seed);
  for (int i = 0; i < length; ++i) r.prompt_ids.push_back(static_cast<int32_t>(random.below(256)));
  r.sampling.seed = seed;
  r.sampling.max_tokens = max_tokens;
  r.top_logprobs = 3;
  return r;
}

// Ids, log-probability bits and texts: what must not change.
std::string fingerprint(const model::Reply& reply) {
  std::string out;
  const auto add = [&](const model::TokenChoice& t) {
    uint32_t bits;
    std::memcpy(&bits, &t.logprob, 4);
    out += fmt::format("{}:{:08x} ", t.id, bits);
  };
  for (const auto& t : reply.prompt_tokens) add(t);
  for (const auto& choice : reply.choices) {
    out += fmt::format("[{} {} {}] ", choice.index, choice.finish_reason, to_text(Json(choice.text)));
    for (const auto& t : choice.tokens) {
      add(t);
      for (const auto& top : t.top) add(top);
    }
  }
  return out;
}

std::string alone(const model::Request& r, const Options& options = {}) {
  auto e = engine(options);
  auto reply = model::generate(*e, r);
  EXPECT_TRUE(reply.ok()) << (reply.ok() ? "" : reply.error().message);
  return reply.ok() ? fingerprint(*reply) : "";
}

std::vector<std::string> together(Engine& e, const std::vector<model::Request>& requests) {
  std::vector<std::promise<Result<model::Reply>>> promises(requests.size());
  for (size_t i = 0; i < requests.size(); ++i)
    e.submit(requests[i], {{}, [&promises, i](Result<model::Reply> r) { promises[i].set_value(std::move(r)); }}, {});
  std::vector<std::string> out;
  for (auto& promise : promises) {
    auto reply = promise.get_future().get();
    EXPECT_TRUE(reply.ok()) << (reply.ok() ? "" : reply.error().message);
    out.push_back(reply.ok() ? fingerprint(*reply) : "");
  }
  return out;
}

TEST(Engine, SameBitsWhateverTheBatchChunksAndThreads) {
  std::vector<model::Request> requests;
  for (uint64_t i = 0; i < 9; ++i) requests.push_back(request(static_cast<int>(1 + i * 37), i));
  requests[2].sampling.temperature = 0;
  requests[3].sampling.top_k = 5;
  requests[4].sampling.top_p = 0.7;
  requests[5].n = 5;
  requests[6].prompt_logprobs = true;
  std::vector<std::string> want;
  for (const auto& r : requests) want.push_back(alone(r));
  for (const int threads : {1, 2, 3}) {
    for (const int chunk : {7, 64, 1000}) {
      for (const int batch : {2, 32}) {
        Options o;
        o.threads = threads;
        o.prefill_chunk = chunk;
        o.max_batch = batch;
        auto e = engine(o);
        ASSERT_EQ(together(*e, requests), want) << threads << " threads, chunk " << chunk << ", batch " << batch;
      }
    }
  }
}

TEST(Engine, RecomputesWhatMemoryTookAwayToTheSameBits) {
  std::vector<model::Request> requests;
  for (uint64_t i = 0; i < 6; ++i) requests.push_back(request(230, i, 40));  // each grows into a second page
  requests[1].n = 3;
  std::vector<std::string> want;
  for (const auto& r : requests) want.push_back(alone(r));
  Options o;
  o.kv_limit_mib = 1;
  const int64_t pages = (o.kv_limit_mib << 20) / KvCache::page_bytes({2, 8}, 2);
  ASSERT_LT(pages, 16) << "all would fit";
  ASSERT_GE(pages, 2);
  auto e = engine(o);
  EXPECT_EQ(together(*e, requests), want);
}

TEST(Engine, ChoicesDifferAndEqualSeedsRepeat) {
  auto r = request(20, 5);
  r.n = 4;
  auto e = engine();
  auto first = model::generate(*e, r), second = model::generate(*e, r);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(fingerprint(*first), fingerprint(*second));
  EXPECT_NE(first->choices[0].text, first->choices[1].text);
  EXPECT_EQ(first->usage.prompt_tokens, 20);
  int64_t tokens = 0;
  for (const auto& choice : first->choices) tokens += static_cast<int64_t>(choice.tokens.size());
  EXPECT_EQ(first->usage.completion_tokens, tokens);
  r.sampling.seed.reset();
  auto a = model::generate(*e, r), b = model::generate(*e, r);
  EXPECT_NE(fingerprint(*a), fingerprint(*b));  // without a seed each request draws its own
}

TEST(Engine, LogprobsEqualTheScorersBitForBit) {
  auto r = request(300, 8, 20);
  r.prompt_logprobs = true;
  r.n = 3;  // those after the first start from copies of its cache
  auto e = engine();
  auto reply = model::generate(*e, r);
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->prompt_tokens.size(), 300u);
  EXPECT_TRUE(std::isnan(reply->prompt_tokens[0].logprob));
  for (const auto& choice : reply->choices) {
    std::vector<int32_t> ids = r.prompt_ids;
    for (const auto& t : choice.tokens) ids.push_back(t.id);
    for (const int chunk : {1, 64, 1000}) {
      auto scores = score(e->network(), ids, 3, {}, chunk);
      ASSERT_TRUE(scores.ok());
      for (size_t i = 1; i < ids.size(); ++i) {
        const model::Token& token = i < 300 ? reply->prompt_tokens[i] : choice.tokens[i - 300];
        ASSERT_EQ(static_cast<float>((*scores)[i].logprob), token.logprob) << i;
        ASSERT_EQ((*scores)[i].top[0].id, token.top[0].id);
      }
    }
  }
}

// A policy learns to stop from the end token's log-probability, and who scores drops the last entry to be rid of it.
TEST(Engine, TheEndTokenIsOfTheReplyAndNotOfTheText) {
  auto r = request(7, 11, 60);
  r.n = 64;
  r.sampling.temperature = 2;
  auto e = engine();
  std::vector<size_t> streamed(64);
  std::promise<Result<model::Reply>> done;
  e->submit(r,
            {[&](const model::Delta& d) { streamed[static_cast<size_t>(d.index)] += d.tokens.size(); },
             [&](Result<model::Reply> reply) { done.set_value(std::move(reply)); }},
            {});
  const auto reply = done.get_future().get();
  ASSERT_TRUE(reply.ok());
  int ended = 0;
  int64_t tokens = 0;
  for (const auto& choice : reply->choices) {
    tokens += static_cast<int64_t>(choice.tokens.size());
    EXPECT_EQ(streamed[static_cast<size_t>(choice.index)], choice.tokens.size());
    if (choice.finish_reason != "stop") continue;
    ++ended;
    const model::Token& last = choice.tokens.back();
    EXPECT_EQ(last.id, kEos);
    EXPECT_EQ(last.bytes, "<eos>");
    EXPECT_FALSE(last.is_text);
    EXPECT_EQ(choice.text.find("<eos>"), std::string::npos);
    std::vector<int32_t> ids = r.prompt_ids;
    for (const auto& t : choice.tokens) ids.push_back(t.id);
    const auto scores = score(e->network(), ids, 3);
    ASSERT_TRUE(scores.ok());
    EXPECT_EQ(static_cast<float>(scores->back().logprob), last.logprob);
    EXPECT_EQ(last.top.size(), 3u);
  }
  EXPECT_GT(ended, 0);
  EXPECT_EQ(reply->usage.completion_tokens, tokens);
}

// The choices of a request share its prompt's pages, so they count once against the limit: all run at once.
TEST(Engine, ChoicesOfALongPromptFitTheMemoryThatTheyShare) {
  auto r = request(600, 3, 12);
  r.n = 7;
  r.sampling.temperature = 0.5;
  const std::string want = alone(r);
  Options o;
  o.kv_limit_mib = 1;
  const int64_t pages = (o.kv_limit_mib << 20) / KvCache::page_bytes({2, 8}, 2);
  const int64_t prompt_pages = (600 + kernels::kPagePositions - 1) / kernels::kPagePositions;
  ASSERT_LT(pages, 7 * prompt_pages) << "all would fit unshared";
  ASSERT_GE(pages, prompt_pages + 7);
  auto e = engine(o);
  std::vector<int> made(7);
  bool together = false;
  std::promise<Result<model::Reply>> done;
  e->submit(r,
            {[&](const model::Delta& d) {
               made[static_cast<size_t>(d.index)] += static_cast<int>(d.tokens.size());
               together |= std::all_of(made.begin(), made.end(), [](int n) { return n > 0 && n < 12; });
             },
             [&](Result<model::Reply> reply) { done.set_value(std::move(reply)); }},
            {});
  const auto reply = done.get_future().get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(fingerprint(*reply), want);
  EXPECT_TRUE(together) << "some choices waited for others to end";
}

TEST(Engine, ManyChoicesOfLongPromptsUnderATightLimitKeepTheirBits) {
  std::vector<model::Request> requests;
  for (uint64_t i = 0; i < 4; ++i) {
    requests.push_back(request(static_cast<int>(500 + 20 * i), i, 30));  // some grow into one more page
    requests.back().n = static_cast<int>(1 + 2 * i);
  }
  requests[2].prompt_logprobs = true;
  std::vector<std::string> want;
  for (const auto& r : requests) want.push_back(alone(r));
  Options o;
  o.kv_limit_mib = 1;
  for (const int chunk : {64, 1000}) {
    o.prefill_chunk = chunk;
    auto e = engine(o);
    EXPECT_EQ(together(*e, requests), want) << chunk;
  }
}

TEST(Engine, RefusesOptionsThatNoMachineHas) {
  Options threads, memory;
  threads.threads = 100'000;
  memory.kv_limit_mib = std::numeric_limits<int64_t>::max();
  for (const Options& o : {threads, memory}) {
    const auto made = Engine::create(tiny_model(), o);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, Code::Invalid);
  }
}

TEST(Engine, DeltasAddUpAndStopEndsTheTextBeforeIt) {
  auto r = request(10, 3, 60);
  r.sampling.temperature = 1.5;
  auto e = engine();
  const auto whole = model::generate(*e, r);
  ASSERT_TRUE(whole.ok());
  const std::string text = whole->choices[0].text;
  ASSERT_GT(text.size(), 12u);
  // A stop of three characters of the text: tokens are bytes here, so it spans tokens.
  const size_t at = text.find_first_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.;:", 5);
  ASSERT_NE(at, std::string::npos);
  r.sampling.stop = {"never seen", text.substr(at, 3)};
  std::string streamed;
  size_t streamed_tokens = 0;
  std::promise<Result<model::Reply>> done;
  e->submit(r,
            {[&](const model::Delta& d) {
               streamed += d.text;
               streamed_tokens += d.tokens.size();
             },
             [&](Result<model::Reply> reply) { done.set_value(std::move(reply)); }},
            {});
  const auto stopped = done.get_future().get();
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->choices[0].text, text.substr(0, text.find(r.sampling.stop[1])));
  EXPECT_EQ(stopped->choices[0].finish_reason, "stop");
  EXPECT_EQ(streamed, stopped->choices[0].text);
  EXPECT_EQ(streamed_tokens, stopped->choices[0].tokens.size());
}

TEST(Engine, RefusesWithNumbersAndNames) {
  auto e = engine();
  const auto refused = [&](model::Request r) {
    auto reply = model::generate(*e, std::move(r));
    EXPECT_FALSE(reply.ok());
    return reply.ok() ? Error{} : reply.error();
  };
  const Error long_prompt = refused(request(900, 1));
  EXPECT_EQ(long_prompt.code, Code::Limit);
  EXPECT_NE(long_prompt.message.find("prompt has 900 tokens, the context holds 700"), std::string::npos)
      << long_prompt.message;
  auto bad = request(3, 1);
  bad.prompt_ids[1] = 259;
  EXPECT_NE(refused(bad).message.find("259"), std::string::npos);
  bad = request(3, 1);
  bad.sampling.top_p = 0;
  EXPECT_EQ(refused(bad).code, Code::Invalid);
  model::Request chat;
  chat.messages = {{"user", "hello", "", nullptr}};
  EXPECT_EQ(refused(chat).code, Code::Invalid);  // this model has no template
}

TEST(Scorer, RefusesWhatTheContextCannotHold) {
  auto e = engine();
  const std::vector<int32_t> ids(701, 1);
  const auto scores = score(e->network(), ids, 0);
  ASSERT_FALSE(scores.ok());
  EXPECT_EQ(scores.error().code, Code::Limit);
  EXPECT_NE(scores.error().message.find("701 tokens do not fit the context, which holds 700"), std::string::npos);
}

TEST(Engine, CancelEndsOneRequestAndShutdownTheRest) {
  auto e = engine();
  const auto long_one = request(5, 1, 600);
  Cancel cancel;
  std::promise<Result<model::Reply>> cancelled, ended;
  std::promise<void> begun;
  bool first = true;
  auto never_ends = long_one;
  never_ends.n = 64;
  e->submit(never_ends,
            {[&](const model::Delta&) {
               if (first) begun.set_value();
               first = false;
             },
             [&](Result<model::Reply> r) { cancelled.set_value(std::move(r)); }},
            cancel);
  e->submit(never_ends, {{}, [&](Result<model::Reply> r) { ended.set_value(std::move(r)); }}, {});
  begun.get_future().wait();
  cancel.request();
  const auto one = cancelled.get_future().get();
  ASSERT_FALSE(one.ok());
  EXPECT_EQ(one.error().code, Code::Cancelled);
  e.reset();
  const auto other = ended.get_future().get();
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, Code::Cancelled);
}

TEST(Pack, KeepsEveryWeightOfEveryType) {
  TaskPool pool(1);
  for (const auto dtype : {model::DType::F32, model::DType::F16, model::DType::BF16, model::DType::Q8_0,
                           model::DType::Q4_0, model::DType::Q4_1, model::DType::Q5_0, model::DType::Q5_1}) {
    const int rows = 19, k = 64;
    model::Tensor t;
    t.dtype = dtype;
    t.shape = {rows, k};
    Random random(9);
    std::string bytes(static_cast<size_t>(*model::byte_size(dtype, t.shape)), '\0');
    for (char& b : bytes) b = static_cast<char>(random.next());
    // Scales and plain floats made finite: their exponents kept small.
    const size_t block = static_cast<size_t>(model::block_bytes(dtype));
    for (size_t at = 0; at < bytes.size(); at += block) {
      if (dtype == model::DType::F32 || dtype == model::DType::BF16)
        bytes[at + block - 1] = 0x3c;
      else
        bytes[at + 1] = 0x2c;
      if (dtype == model::DType::Q4_1 || dtype == model::DType::Q5_1) bytes[at + 3] = 0x2c;
    }
    t.bytes = bytes;
    const auto want = model::to_f32(t);
    const kernels::Matrix packed = pack(t, pool);
    // Weights come out through products with one-hot activations, which int8 activations hold exactly (127 / 127).
    kernels::Activations scratch;
    for (int i = 0; i < k; ++i) {
      std::vector<float> x(static_cast<size_t>(k)), y(static_cast<size_t>(rows));
      x[static_cast<size_t>(i)] = 1;
      const kernels::Product product[] = {{&packed, y.data(), rows}};
      kernels::linear(pool, x.data(), k, 1, product, scratch);
      for (int row = 0; row < rows; ++row) {
        const float w = want[static_cast<size_t>(row * k + i)];
        ASSERT_NEAR(y[static_cast<size_t>(row)], w, 2e-6f * std::fabs(w) + 1e-7f)
            << model::dtype_name(dtype) << " " << row << " " << i;
      }
    }
  }
}

TEST(Sampler, FollowsTheDistribution) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f, 2.0f};
  model::Sampling s;
  s.temperature = 0;
  EXPECT_EQ(sample(logits, s, 1, 0, 0), 2);  // the lowest id among equals
  const auto counts = [&](const model::Sampling& with) {
    std::map<int32_t, int> seen;
    for (int i = 0; i < 20000; ++i) ++seen[sample(logits, with, 42, i % 7, i)];
    return seen;
  };
  s.temperature = 0.5;
  auto seen = counts(s);
  double total = 0;
  for (const float l : logits) total += std::exp(l / 0.5);
  for (int i = 0; i < 5; ++i) {
    const double p = std::exp(logits[static_cast<size_t>(i)] / 0.5) / total;
    EXPECT_NEAR(seen[i], 20000 * p, 4.5 * std::sqrt(20000 * p * (1 - p)) + 1) << i;
  }
  s.top_k = 3;
  seen = counts(s);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen.count(0) + seen.count(3), 0u);
  s.top_k = 0;
  s.temperature = 1;
  s.top_p = 0.75;  // 2 and 4 hold 0.78 of it
  seen = counts(s);
  EXPECT_EQ(seen.size(), 2u);
  s.top_p = 0.3;  // the first alone reaches it
  EXPECT_EQ(counts(s).size(), 1u);
}

TEST(Sampler, LargestAreThoseThatSortingPutsFirst) {
  Random random(4);
  for (const int n : {1, 2, 17, 300}) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = static_cast<float>(random.below(20));  // many equals
    std::vector<int32_t> want(values.size());
    std::iota(want.begin(), want.end(), 0);
    std::stable_sort(want.begin(), want.end(), [&](int32_t a, int32_t b) {
      return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    for (const size_t k : {0, 1, 2, 16, 299, 1000}) {
      const std::vector<int32_t> first(want.begin(),
                                       want.begin() + static_cast<std::ptrdiff_t>(std::min(k, want.size())));
      ASSERT_EQ(largest(values, k), first) << n << " " << k;
    }
  }
}

// The exponential is the kernels' own, so what is drawn depends on neither the C library nor the CPU.
TEST(Sampler, DrawsTheSameWithEveryIsa) {
  Random random(6);
  std::vector<float> logits(5000);
  for (float& v : logits) v = 4 * static_cast<float>(random.normal());
  std::vector<std::vector<int32_t>> drawn;
  for (const kernels::Isa* isa : kernels::compiled_isas()) {
    if (!isa->supported()) continue;
    ASSERT_TRUE(kernels::force_isa(isa->name).ok());
    drawn.emplace_back();
    for (int i = 0; i < 400; ++i) {
      model::Sampling s;
      s.temperature = i % 4 == 3 ? 1e-320 : 0.25 * (1 + i % 7);
      s.top_k = i % 3 == 0 ? 50 : 0;
      s.top_p = i % 5 == 0 ? 0.99 : 1;
      drawn.back().push_back(sample(logits, s, 9, 0, i));
    }
  }
  ASSERT_TRUE(kernels::force_isa("").ok());
  for (const auto& one : drawn) EXPECT_EQ(one, drawn[0]);
  EXPECT_EQ(drawn[0][3], std::max_element(logits.begin(), logits.end()) - logits.begin());  // next to no temperature
}

TEST(TextStream, PiecesAddUpWhateverTheBorders) {
  struct Case {
    std::string text;
    std::vector<std::string> stops;
    bool split, inside;
    std::string want_text, want_reasoning, want_content;
    bool stopped;
  };
  const Case cases[] = {
      {"plain text", {}, true, false, "plain text", "", "plain text", false},
      {"<think>\n2+2\nis 4\n</think>\n\nfour",
       {},
       true,
       false,
       "<think>\n2+2\nis 4\n</think>\n\nfour",
       "2+2\nis 4",
       "four",
       false},
      {"inside </thi ng</think> out", {}, true, true, "inside </thi ng</think> out", "inside </thi ng", "out", false},
      {"<think>a</think>b", {}, false, false, "<think>a</think>b", "", "<think>a</think>b", false},
      {"one STOP two", {"STOP"}, true, false, "one ", "", "one ", true},
      {"STSTOP", {"STOP", "XX"}, true, false, "ST", "", "ST", true},
      {"xabcde", {"cd", "abcde"}, true, false, "xab", "", "xab", true},  // "cd" is whole before "abcde" is
      {"xabcd", {"cd", "abcd"}, true, false, "x", "", "x", true},
      {"almost STO", {"STOP"}, true, false, "almost STO", "", "almost STO", false},
      {"h\xc3\xa9 \xf0\x9f\x98\x80!",
       {},
       true,
       false,
       "h\xc3\xa9 \xf0\x9f\x98\x80!",
       "",
       "h\xc3\xa9 \xf0\x9f\x98\x80!",
       false},
      {"cut \xf0\x9f\x98", {}, true, false, "cut \xef\xbf\xbd", "", "cut \xef\xbf\xbd", false},
      {"x\xc3\xa9\nEND", {"\nEND"}, true, false, "x\xc3\xa9", "", "x\xc3\xa9", true},
  };
  for (const Case& c : cases) {
    for (size_t size = 1; size <= c.text.size(); ++size) {
      TextStream stream(c.stops, c.split, c.inside);
      TextPiece all;
      bool stopped = false;
      for (size_t at = 0; at < c.text.size() && !stopped; at += size) {
        TextPiece piece;
        stopped = stream.push(std::string_view(c.text).substr(at, size), piece);
        ASSERT_EQ(to_text(Json(piece.text)).find("\\ufffd"), std::string::npos);
        all.text += piece.text, all.reasoning += piece.reasoning, all.content += piece.content;
      }
      if (!stopped) stream.finish(all);
      ASSERT_EQ(all.text, c.want_text) << size;
      ASSERT_EQ(all.reasoning, c.want_reasoning) << c.text << " " << size;
      ASSERT_EQ(all.content, c.want_content) << c.text << " " << size;
      ASSERT_EQ(stopped, c.stopped) << c.text << " " << size;
    }
  }
}

}  // namespace
}  // namespace retort::infer
