// The procedural teacher: an OpenAI-compatible server that solves retort's own tasks in visible steps, and misbehaves
// at set rates, so that collecting, checking, voting and scrubbing have real work without anyone's API. What it answers
// is a pure function of its options, the question and the request's seed; which attempts fail depends on the attempt's
// number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/options.h"
#include "base/result.h"

namespace retort::app {

// What it answers and how it misbehaves.
struct TeacherManner {
  std::string model = "retort-teacher";
  std::string style = "columns";
  std::string reasoning_field = "reasoning_content";
  uint64_t seed = 7;
  double wrong = 0.08;
  double leak = 0.05;
  double truncated = 0.02;
  double busy = 0.01;
  double cut = 0.01;
  int delay_ms = 0;

  template <class V>
  void fields(V&& v) {
    const About share{.low = 0, .high = 1};
    v("model", model, "the model's name in the API");
    v("style", style, "of the chain: columns (digit by digit, for tiny students) or plain (sentences)",
      {.one_of = "columns, plain"});
    v("reasoning_field", reasoning_field,
      "where the thought goes: reasoning_content, reasoning, or think (inline <think>)",
      {.one_of = "reasoning_content, reasoning, think"});
    v("seed", seed, "of answers and faults");
    v("wrong", wrong, "share of answers that are wrong, with a chain that fits", share);
    v("leak", leak, "share of answers that name another maker (\"As ChatGPT, ...\")", share);
    v("truncated", truncated, "share of answers that end early with finish_reason length", share);
    v("busy", busy, "share of attempts answered 429 with Retry-After", share);
    v("cut", cut, "share of attempts whose stream breaks off in the middle", share);
    v("delay_ms", delay_ms, "before each response", {.low = 0, .high = 3'600'000});
  }
};

struct TeacherOptions : TeacherManner {
  std::string host = "127.0.0.1";
  int port = 8090;
  std::string log;

  template <class V>
  void fields(V&& v) {
    v("host", host, "address to listen on");
    v("port", port, "port to listen on; 0 takes a free one", {.low = 0, .high = 65535});
    TeacherManner::fields(v);
    v("log", log, "file that gets a line for each response served, \"\" for none; one that is there is gone on with");
  }
};

class Teacher {
 public:
  // Listens and returns. Errors: Invalid (options), Io (address, log file).
  static Result<std::unique_ptr<Teacher>> start(const TeacherOptions& options, Env& env);
  ~Teacher();
  // Tokens of a text as it bills them: near what models count, without a vocabulary.
  static int64_t tokens(std::string_view text);
  std::string url() const;  // "http://127.0.0.1:8090"
  int port() const;

 private:
  struct State;
  explicit Teacher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace retort::app
