// `retort perplexity --model M FILE`: how well a model predicts a text, in windows of its context; with --reference
// also how far its distributions are from another model's (KL divergence), which is how a quantised file is judged.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "app/command.h"
#include "app/open_model.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/env.h"
#include "base/progress.h"
#include "infer/scorer.h"
#include "kernels/isa.h"

namespace retort::app {
namespace {

// Tokens fed at once: logits of this many rows are held, twice with a reference.
constexpr int kChunk = 64;

struct Flags {
  std::string model, file, reference;
  bool json = false;
  int window = 0, stride = 0, context = 1, threads = 0;
  int64_t limit = 0;
};

struct Sums {
  int64_t tokens = 0, bytes = 0, agree = 0;
  double nats = 0;
  double kl = 0, kl_squares = 0;
};

// KL(reference || model) of two rows of logits, in nats: sum of p (log p - log q), in double.
double kl_divergence(std::span<const float> reference, std::span<const float> model) {
  const int n = static_cast<int>(reference.size());
  const double reference_total = kernels::isa().log_sum_exp(reference.data(), n, 1.0f);
  const double model_total = kernels::isa().log_sum_exp(model.data(), n, 1.0f);
  double sum = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - reference_total;
    if (log_p > -40) sum += std::exp(log_p) * (log_p - (static_cast<double>(model[i]) - model_total));
  }
  return sum;
}

struct Task {
  ScoredModel model;
  std::optional<ScoredModel> reference;
  int window = 0, stride = 0, context = 1;
};

// Windows of `window` tokens, `stride` apart; each token counts once, in the first window that holds it (so with as
// many tokens before it as the overlap gives), and only with at least `context` tokens before it there. With stride =
// window and context = window / 2 + 1 these are the tokens that llama.cpp's perplexity counts.
Result<Sums> measure(const Task& task, std::span<const int32_t> ids) {
  Sums sums;
  Progress progress("perplexity", static_cast<int64_t>(ids.size()), "tokens");
  infer::Scorer scorer(task.model.network);
  std::optional<infer::Scorer> reference;
  if (task.reference) reference.emplace(task.reference->network);
  const auto vocabulary = static_cast<size_t>(task.model.network->vocabulary());
  TaskPool& pool = task.model.network->pool();
  size_t counted = 1;  // tokens before this one are done
  for (size_t start = 0; counted < ids.size(); start += static_cast<size_t>(task.stride)) {
    const size_t end = std::min(ids.size(), start + static_cast<size_t>(task.window));
    scorer.reset();
    if (reference) reference->reset();
    for (size_t at = start; at < end; at += kChunk) {
      if (process_cancel().requested()) return fail(Code::Cancelled, "stopped after {} tokens", sums.tokens);
      const auto piece = ids.subspan(at, std::min<size_t>(kChunk, end - at));
      RETORT_ASSIGN(const auto logits, scorer.feed(piece));
      std::span<const float> other;
      if (reference) {
        RETORT_ASSIGN(other, reference->feed(piece));
      }
      struct Row {
        double nats = 0, kl = 0;
        bool counts = false, agrees = false;
      };
      std::vector<Row> rows(piece.size());
      pool.run(static_cast<int>(piece.size()), [&](int index) {
        const auto i = static_cast<size_t>(index);
        const size_t target = at + i + 1;
        if (target >= end || target < counted || target - start < static_cast<size_t>(task.context)) return;
        const auto row = logits.subspan(i * vocabulary, vocabulary);
        rows[i].counts = true;
        rows[i].nats = -infer::logprob_of(row, ids[target]);
        if (!reference) return;
        const auto wanted = other.subspan(i * vocabulary, vocabulary);
        rows[i].kl = kl_divergence(wanted, row);
        rows[i].agrees = std::max_element(row.begin(), row.end()) - row.begin() ==
                         std::max_element(wanted.begin(), wanted.end()) - wanted.begin();
      });
      for (size_t i = 0; i < rows.size(); ++i) {  // in order, so the sums do not depend on the threads
        const Row& row = rows[i];
        if (!row.counts) continue;
        if (!std::isfinite(row.nats)) return infer::no_number(task.model.model->name);
        ++sums.tokens;
        sums.bytes += static_cast<int64_t>(task.model.model->tokenizer.token_bytes(ids[at + i + 1]).size());
        sums.nats += row.nats;
        sums.kl += row.kl;
        sums.kl_squares += row.kl * row.kl;
        sums.agree += row.agrees ? 1 : 0;
      }
      progress.update(
          static_cast<int64_t>(at + piece.size()),
          fmt::format("ppl {:.3f}", std::exp(sums.nats / static_cast<double>(std::max<int64_t>(sums.tokens, 1)))));
    }
    counted = std::max(counted, end);
  }
  progress.finish();
  return sums;
}

Result<int> run(const Flags& flags) {
  Task task;
  RETORT_ASSIGN(std::string text, system_env().read_file(flags.file));
  RETORT_ASSIGN(task.model, open_scored_model(flags.model, flags.threads));
  int context = task.model.network->max_context();
  RETORT_ASSIGN(std::vector<int32_t> ids, task.model.model->tokenizer.encode_prompt(text));
  if (!flags.reference.empty()) {
    RETORT_ASSIGN(task.reference, open_scored_model(flags.reference, flags.threads));
    RETORT_ASSIGN(const auto other, task.reference->model->tokenizer.encode_prompt(text));
    if (task.reference->network->vocabulary() != task.model.network->vocabulary() || other != ids)
      return fail(Code::Invalid, "`{}` and `{}` cut the text into different tokens; KL needs one tokenizer",
                  flags.model, flags.reference);
    context = std::min(context, task.reference->network->max_context());
  }
  task.window = flags.window > 0 ? flags.window : std::min(context, 1024);
  task.stride = flags.stride > 0 ? flags.stride : std::max(1, task.window / 2);
  if (task.window > context || task.window < 2 || task.stride > task.window)
    return fail(Code::Invalid, "--window {} must be 2 to {} (the context) and --stride {} at most the window",
                task.window, context, task.stride);
  task.context = flags.context;
  if (task.context < 1 || task.context >= task.window)
    return fail(Code::Invalid, "--context {} must be 1 to {} (less than the window)", task.context, task.window - 1);
  if (flags.limit > 0 && static_cast<size_t>(flags.limit) < ids.size()) ids.resize(static_cast<size_t>(flags.limit));
  if (ids.size() <= static_cast<size_t>(task.context))
    return fail(Code::Invalid, "`{}` has {} tokens; perplexity needs at least {}", flags.file, ids.size(),
                task.context + 1);

  RETORT_ASSIGN(const Sums sums, measure(task, ids));
  const double n = static_cast<double>(sums.tokens), mean = sums.nats / n;
  Json out = {{"model", flags.model},
              {"file", flags.file},
              {"tokens", sums.tokens},
              {"bytes", sums.bytes},
              {"window", task.window},
              {"stride", task.stride},
              {"nats_per_token", mean},
              {"perplexity", std::exp(mean)},
              {"bits_per_byte", sums.nats / std::log(2.0) / static_cast<double>(std::max<int64_t>(sums.bytes, 1))}};
  if (task.reference) {
    const double kl = sums.kl / n;
    const double variance = sums.tokens > 1 ? std::max(0.0, (sums.kl_squares - n * kl * kl) / (n - 1)) : 0;
    out["reference"] = flags.reference;
    out["kl_mean"] = kl;
    out["kl_standard_error"] = std::sqrt(variance / n);
    out["top1_agreement"] = static_cast<double>(sums.agree) / n;
  }
  if (flags.json) {
    say("{}\n", to_text(out));
    return 0;
  }
  say("perplexity {:.4f} ({:.4f} bits per byte) over {} tokens, windows of {} every {}\n",
      out["perplexity"].get<double>(), out["bits_per_byte"].get<double>(), sums.tokens, task.window, task.stride);
  if (task.reference)
    say("KL(reference || model) {:.6f} +- {:.6f} nats per token, same likeliest token {:.2f} %\n",
        out["kl_mean"].get<double>(), out["kl_standard_error"].get<double>(),
        100 * out["top1_agreement"].get<double>());
  return 0;
}

}  // namespace

Command perplexity_command() {
  return {
      "perplexity", "measure how well a model predicts a text; with --reference, how far it is from another model",
      [](CommandLine& cli) -> std::function<Result<int>()> {
        auto flags = std::make_shared<Flags>();
        cli.add_option("--model", flags->model, "a directory, a GGUF file or a Hugging Face cache path")->required();
        cli.add_option("file", flags->file, "the text, UTF-8")->required();
        cli.add_option("--reference", flags->reference, "another model: also print the mean KL(reference || model)");
        cli.add_option("--window", flags->window, "tokens of a window; 0: 1024 or the context where that is less");
        cli.add_option("--stride", flags->stride, "tokens between windows; 0: half a window");
        cli.add_option("--context", flags->context, "fewest tokens before a counted one in its window [1]");
        cli.add_option("--limit", flags->limit, "only the first tokens of the text; 0: all");
        cli.add_option("--threads", flags->threads, "threads; 0: those the process may use");
        cli.add_flag("--json", flags->json, "one JSON object");
        return [flags] { return run(*flags); };
      }};
}

}  // namespace retort::app
