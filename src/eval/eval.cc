#include "eval/eval.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/log.h"
#include "base/options.h"
#include "base/random.h"
#include "eval/partial.h"
#include "record/questions.h"

namespace retort::eval {
namespace {

constexpr int64_t kFirstRetryMs = 500;  // doubles with each attempt
constexpr int64_t kLongestRetryMs = 60'000;
constexpr auto kPoll = std::chrono::milliseconds(50);  // how often cancellation is looked at while waiting

// What the scores depend on; a partial file of anything else is of no use.
std::string key_of(Options options, const std::string& model, const std::vector<Prompt>& prompts) {
  options.concurrency = 1;
  options.retries = 0;
  options.limit = 0;
  Sha256 hash;
  hash.update(options_hash(options) + "\n" + model + "\n");
  for (const Prompt& prompt : prompts) hash.update(to_text(encode(prompt)) + "\n");
  return hash.finish();
}

std::string score_id(const std::string& prompt_id, const std::string& model, int sample) {
  return short_id(prompt_id + "\n" + model + "\n" + std::to_string(sample));
}

model::Request request_for(const Prompt& prompt, const Options& options, int sample) {
  model::Request request;
  request.messages = prompt.messages;
  if (!options.system.empty())
    request.messages.insert(request.messages.begin(), Message{"system", options.system, "", nullptr});
  if (!options.suffix.empty()) request.messages.back().content += options.suffix;
  request.sampling.temperature = options.temperature;
  request.sampling.top_p = options.top_p;
  request.sampling.top_k = options.top_k;
  request.sampling.max_tokens = options.max_tokens;
  request.sampling.stop = options.stop;
  // 53 bits: what every JSON reader carries exactly.
  request.sampling.seed = Random(options.seed, fnv1a(prompt.id + "#" + std::to_string(sample))).next() >> 11;
  return request;
}

struct Done {
  size_t task;
  Result<model::Reply> reply;
};

// Tells a refusal of one prompt (too long) from a refusal of all (a wrong key, an unknown model): the same words
// kInARow times without a reply between, or to every prompt there is.
class Refusals {
 public:
  bool add(const Error& error) {
    count_ = error.message == last_.message ? count_ + 1 : 1;
    last_ = error;
    return count_ >= kInARow;
  }
  void clear() { last_ = Error(), count_ = 0; }
  int64_t count() const { return count_; }
  const Error& last() const { return last_; }

 private:
  static constexpr int64_t kInARow = 8;
  Error last_;
  int64_t count_ = 0;
};

// Where the generator's threads leave what is done; outlives the run if a generator is late.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<Done> done;
};

// Asks for every open (prompt, sample) and hands each reply to `take`.
class Round {
 public:
  Round(const Options& options, model::Generator& generator, Env& env, const Cancel& cancel, bool limit_ends)
      : options_(options), generator_(generator), env_(env), cancel_(cancel), limit_ends_(limit_ends) {}

  // `make` builds the request of a task; `take` gets each final reply or refusal, in any order. After an error the
  // requests in flight are stopped and awaited.
  Status run(std::deque<size_t> open, const std::function<model::Request(size_t)>& make,
             const std::function<Status(std::vector<Done>)>& take) {
    while (!open.empty() || in_flight_ > 0 || !waiting_.empty()) {
      if (cancel_.requested()) return stop(fail(Code::Cancelled, "stopped; the same command goes on from here"), take);
      const int64_t now = env_.monotonic_us();
      for (auto it = waiting_.begin(); it != waiting_.end();) {
        if (it->second > now) {
          ++it;
          continue;
        }
        open.push_front(it->first);
        it = waiting_.erase(it);
      }
      while (!open.empty() && in_flight_ < options_.concurrency) {
        const size_t task = open.front();
        open.pop_front();
        ++in_flight_;
        generator_.submit(make(task),
                          {nullptr,
                           [box = box_, task](Result<model::Reply> reply) {
                             const std::lock_guard lock(box->mutex);
                             box->done.push_back({task, std::move(reply)});
                             box->arrived.notify_one();
                           }},
                          stop_);
      }
      std::vector<Done> final;
      std::optional<Error> fatal;
      for (Done& done : arrivals()) {
        if (settled(done)) {
          final.push_back(std::move(done));
          continue;
        }
        const Error& error = done.reply.error();
        const int attempt = ++attempts_[done.task];
        if (error.code != Code::Unavailable || attempt > options_.retries) {
          if (!fatal) fatal = error;
          continue;
        }
        const int64_t backoff = std::min(kLongestRetryMs, kFirstRetryMs << std::min(attempt - 1, 10));
        const int64_t wait_ms = error.retry_after_ms >= 0 ? error.retry_after_ms : backoff;
        log::debug("{}; trying again in {} ms", error.message, wait_ms);
        waiting_.emplace_back(done.task, env_.monotonic_us() + wait_ms * 1000);
      }
      if (!final.empty()) {
        if (Status status = take(std::move(final)); !status.ok()) {
          const bool disk = status.error().code != Code::Invalid && status.error().code != Code::Limit;
          return stop(std::move(status).error(), disk ? nullptr : take);
        }
      }
      if (fatal) return stop(*fatal, take);
    }
    return {};
  }

 private:
  std::vector<Done> arrivals() {
    std::unique_lock lock(box_->mutex);
    box_->arrived.wait_for(lock, kPoll, [&] { return !box_->done.empty(); });
    std::vector<Done> out(std::make_move_iterator(box_->done.begin()), std::make_move_iterator(box_->done.end()));
    box_->done.clear();
    in_flight_ -= static_cast<int>(out.size());
    return out;
  }

  // Replies, and refusals that no retry would change.
  bool settled(const Done& done) const {
    if (done.reply.ok() || done.reply.error().code == Code::Invalid) return true;
    return done.reply.error().code == Code::Limit && !limit_ends_;
  }

  // Ends what is in flight and waits for it; what had been answered by then is taken, not lost.
  Error stop(Error error, const std::function<Status(std::vector<Done>)>& take) {
    stop_.request();
    std::vector<Done> late;
    while (in_flight_ > 0) {
      for (Done& done : arrivals())
        if (done.reply.ok() && !done.reply->choices.empty() && done.reply->choices.front().finish_reason != "cancelled")
          late.push_back(std::move(done));
    }
    if (take && !late.empty()) {
      if (Status status = take(std::move(late)); !status.ok()) return std::move(status).error();
    }
    return error;
  }

  const Options& options_;
  model::Generator& generator_;
  Env& env_;
  const Cancel& cancel_;
  const bool limit_ends_;
  Cancel stop_;
  std::shared_ptr<Mailbox> box_ = std::make_shared<Mailbox>();
  std::vector<std::pair<size_t, int64_t>> waiting_;  // task, due time
  std::unordered_map<size_t, int> attempts_;
  int in_flight_ = 0;
};

}  // namespace

Status check(const Options& o) {
  RETORT_TRY(check_options(o));
  if (auto rule = verify::parse_rule(o.rule, verify::From::User); !rule.ok()) return std::move(rule).error();
  if (o.temperature == 0 && o.samples > 1)
    return fail(Code::Invalid,
                "{} samples at temperature 0 are all the same; use `samples` 1 or a `temperature` above 0", o.samples);
  return {};
}

verify::Judgement grade(Score& score, const verify::Rule& rule, std::string_view question) {
  verify::Judgement judgement = rule.judge({score.gold, score.content, question});
  score.pred = judgement.answer ? judgement.answer->text : "";
  score.correct = judgement.equal;
  score.how = judgement.problem.empty() ? judgement.how : "checker_failed";
  return judgement;
}

Result<Tally> run(const Options& options, Source<Prompt>& source, Sink<Score>& kept, Sink<Reject>& dropped,
                  model::Generator& generator, Env& env, Context context) {
  RETORT_TRY(check(options));
  RETORT_ASSIGN(verify::Rules rules, verify::Rules::open(options.rule));
  RETORT_ASSIGN(std::vector<Prompt> given, read_all(source));
  const std::string model = generator.name();
  const size_t samples = static_cast<size_t>(options.samples);

  Accounting accounting;
  std::vector<Prompt> prompts;
  std::unordered_map<std::string, size_t> index;
  Questions questions;
  for (Prompt& prompt : given) {
    RETORT_ASSIGN(const std::string repeats, questions.add(prompt));
    accounting.in(prompt.id);
    if (!repeats.empty()) {
      RETORT_TRY(dropped.put({prompt.id, "eval", "duplicate", repeats}));
      accounting.dropped(prompt.id, "duplicate");
      continue;
    }
    const auto rule = rules.of(prompt.rule);
    const Status taken = !rule.ok()              ? Status(rule.error())
                         : prompt.answer.empty() ? Status()
                                                 : (*rule)->accepts(prompt.answer);
    if (!taken.ok()) return within(fmt::format("prompt `{}`", prompt.id), taken.error());
    index.emplace(prompt.id, prompts.size());
    prompts.push_back(std::move(prompt));
  }

  std::vector<Score> resumed;
  RETORT_ASSIGN(
      Partial partial,
      Partial::open(context.partial, key_of(options, model + "\n" + context.identity, prompts), env, resumed));
  std::vector<Score> scores(prompts.size() * samples);
  std::vector<bool> present(scores.size());
  std::unordered_map<size_t, std::string> refused;  // prompt -> why
  Refusals refusals;
  int64_t done = 0;
  for (Score& score : resumed) {
    const auto it = index.find(score.prompt_id);
    if (it == index.end() || score.sample < 0 || score.sample >= options.samples) continue;
    const size_t task = it->second * samples + static_cast<size_t>(score.sample);
    if (!present[task]) ++done;
    present[task] = true;
    scores[task] = std::move(score);
  }
  if (done > 0) accounting.count("resumed", done);

  std::deque<size_t> open;
  for (size_t task = 0; task < scores.size(); ++task)
    if (!present[task] && !prompts[task / samples].answer.empty()) open.push_back(task);
  const int64_t total = done + static_cast<int64_t>(open.size());

  verify::StrictHint hint;
  std::string problem;  // of the first checker that failed
  int64_t failed = 0;
  Round round(options, generator, env, context.cancel, context.limit_ends);
  const Status asked = round.run(
      std::move(open),
      [&](size_t task) { return request_for(prompts[task / samples], options, static_cast<int>(task % samples)); },
      [&](std::vector<Done> replies) -> Status {
        for (const Done& item : replies) {
          const Prompt& prompt = prompts[item.task / samples];
          ++done;
          if (!item.reply.ok() || item.reply->choices.empty()) {
            const Error why = item.reply.ok() ? fail(Code::Invalid, "the reply has no choice") : item.reply.error();
            refused.emplace(item.task / samples, why.message);
            if (refusals.add(why)) return within("every request is refused", why);
            continue;
          }
          refusals.clear();
          const model::Choice& choice = item.reply->choices.front();
          Score score;
          score.prompt_id = prompt.id;
          score.sample = static_cast<int>(item.task % samples);
          score.id = score_id(prompt.id, model, score.sample);
          score.model = model;
          score.task = prompt.task;
          score.gold = prompt.answer;
          score.reasoning = choice.reasoning;
          score.content = choice.content;
          score.finish_reason = choice.finish_reason;
          score.tokens = item.reply->usage.completion_tokens;
          RETORT_ASSIGN(const verify::Rule* rule, rules.of(prompt.rule));
          const verify::Judgement judgement = grade(score, *rule, prompt.messages.back().content);
          if (!judgement.problem.empty()) {
            if (problem.empty()) problem = judgement.problem;
            ++failed;
          } else if (!judgement.equal) {
            hint.wrong(*rule, score.gold, score.content, judgement);
          }
          RETORT_TRY(partial.add(score));
          scores[item.task] = std::move(score);
          present[item.task] = true;
        }
        RETORT_TRY(partial.sync());
        if (context.progress) context.progress(done, total);
        return {};
      });
  if (!asked.ok()) return asked.error();
  if (total > 0 && refusals.count() == total) return within("every request is refused", refusals.last());

  if (context.hint && failed > 0)
    context.hint(fmt::format("{} answers count as wrong because the checker failed: {}", failed, problem));
  if (const std::string text = hint.text(); !text.empty() && context.hint) context.hint(text);

  for (size_t i = 0; i < prompts.size(); ++i) {
    std::string reason, detail;
    if (prompts[i].answer.empty()) reason = "no_reference";
    if (const auto it = refused.find(i); it != refused.end()) reason = "refused", detail = it->second;
    if (!reason.empty()) {
      RETORT_TRY(dropped.put({prompts[i].id, "eval", reason, detail}));
      accounting.dropped(prompts[i].id, reason);
      continue;
    }
    for (size_t s = 0; s < samples; ++s) {
      const Score& score = scores[i * samples + s];
      RETORT_TRY(kept.put(score));
      accounting.kept(std::vector<std::string>{score.prompt_id});
      accounting.count(score.correct ? "correct" : score.how == "no_answer" ? "no_answer" : "wrong");
    }
  }
  return accounting.finish();
}

}  // namespace retort::eval
