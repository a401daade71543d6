// What `retort chat` may be told on its command line.
#pragma once

#include <cstdint>
#include <string>

#include "app/answerer.h"

namespace retort::app {

struct ChatOptions {
  std::string system;
  Answerer answerer;
  std::string out;
  double temperature = -1;
  double top_p = -1;
  int top_k = -1;
  int max_tokens = 0;
  int64_t seed = -1;
  std::string history;

  template <class V>
  void fields(V&& v) {
    v("system", system, "the system message");
    answerer.fields(v);
    v("out", out, "folder for chat.sqlite and costs.jsonl: what an API that asks for money said and was paid");
    v("temperature", temperature, "0 is greedy; below 0: the model's own", {.low = -1, .high = 100});
    v("top_p", top_p, "below 0: the model's own", {.low = -1, .high = 1});
    v("top_k", top_k, "0: off; below 0: the model's own", {.low = -1});
    v("max_tokens", max_tokens, "of an answer; 0: as many as the context holds", {.low = 0});
    v("seed", seed, "below 0: drawn", {.low = -1});
    v("history", history, "file that keeps the lines typed; without it nothing is kept", {.how = true});
  }
};

}  // namespace retort::app
