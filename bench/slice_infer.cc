// Decoding speed of the engine's forward pass: slice_infer MODEL STREAMS STEPS [THREADS]. One JSON line: tokens a
// second over all streams (greedy, median of three runs), and the bytes of weights read a second, to hold against the
// machine's copy bandwidth. Each run must give the same tokens, and one stream alone the tokens that it gives among the
// others; else it ends with 1 and no figure.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include <fmt/core.h>

#include "base/json.h"
#include "infer/network.h"
#include "kernels/isa.h"
#include "model/model.h"

namespace {

using namespace retort;

constexpr int kPromptTokens = 64;

struct Run {
  std::vector<std::vector<int32_t>> tokens;  // by stream
  double prefill_seconds = 0, decode_seconds = 0;
};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int32_t likeliest(std::span<const float> row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

Result<Run> decode(const infer::Network& network, const std::vector<int32_t>& text, int streams, int steps) {
  Run run;
  infer::Workspace workspace;
  std::vector<infer::KvCache> caches;
  const auto vocabulary = static_cast<size_t>(network.vocabulary());
  const double start = seconds();
  for (int s = 0; s < streams; ++s) {
    caches.push_back(network.make_cache());
    RETORT_TRY(caches.back().prepare(0, kPromptTokens + steps));
  }
  for (int s = 0; s < streams; ++s) {
    std::vector<infer::Row> rows;
    for (int i = 0; i < kPromptTokens; ++i)  // streams differ in where the text begins
      rows.push_back(
          {&caches[static_cast<size_t>(s)], text[static_cast<size_t>(s + i) % text.size()], i, i + 1 == kPromptTokens});
    run.tokens.push_back({likeliest(network.forward(rows, workspace))});
  }
  const double decoding = seconds();
  for (int step = 0; step < steps; ++step) {
    std::vector<infer::Row> rows;
    for (int s = 0; s < streams; ++s)
      rows.push_back(
          {&caches[static_cast<size_t>(s)], run.tokens[static_cast<size_t>(s)].back(), kPromptTokens + step, true});
    const auto logits = network.forward(rows, workspace);
    for (size_t s = 0; s < static_cast<size_t>(streams); ++s)
      run.tokens[s].push_back(likeliest(logits.subspan(s * vocabulary, vocabulary)));
  }
  run.prefill_seconds = decoding - start;
  run.decode_seconds = seconds() - decoding;
  return run;
}

Result<int> bench(const char* path, int streams, int steps, int threads) {
  if (streams < 1 || steps < 1) return fail(Code::Invalid, "STREAMS and STEPS must be at least 1");
  RETORT_ASSIGN(model::Model loaded, model::load_model(path));
  auto model = std::make_shared<const model::Model>(std::move(loaded));
  RETORT_ASSIGN(auto network, infer::Network::create(model, std::make_shared<TaskPool>(threads)));
  const auto text = model->tokenizer.encode(
      "The retort is a vessel of glass with a long neck, in which a liquid is heated until its finest part rises as "
      "vapour, passes over, and is caught drop by drop on the other side. What stays behind is heavier, and less. ",
      false);
  RETORT_ASSIGN(const Run alone, decode(*network, text, 1, steps));
  std::vector<double> rates, prefills;
  for (int i = 0; i < 3; ++i) {
    RETORT_ASSIGN(const Run run, decode(*network, text, streams, steps));
    if (run.tokens[0] != alone.tokens[0])
      return fail(Code::Internal, "a stream among {} gave other tokens than alone", streams);
    rates.push_back(streams * steps / run.decode_seconds);
    prefills.push_back(streams * kPromptTokens / run.prefill_seconds);
  }
  std::sort(rates.begin(), rates.end());
  std::sort(prefills.begin(), prefills.end());
  const double bytes = static_cast<double>(network->matrix_bytes()) * rates[1] / streams;
  const Json row = {{"work", fmt::format("decode {} streams x {} tokens", streams, steps)},
                    {"model", path},
                    {"streams", streams},
                    {"threads", network->pool().threads()},
                    {"isa", kernels::isa().name},
                    {"tokens_per_second", rates[1]},
                    {"prefill_tokens_per_second", prefills[1]},
                    {"weight_gigabytes_per_second", bytes / 1e9}};
  fmt::print("{}\n", to_text(row));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fmt::print(stderr, "slice_infer MODEL STREAMS STEPS [THREADS]\n");
    return 2;
  }
  const auto result = bench(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), argc > 4 ? std::atoi(argv[4]) : 0);
  if (result.ok()) return *result;
  fmt::print(stderr, "slice_infer: {}\n", result.error().message);
  return exit_status(result.error().code);
}
