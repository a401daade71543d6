#include "model/fake_generator.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "base/hash.h"
#include "base/random.h"
#include "base/text.h"
#include "model/think.h"

namespace retort::model {
namespace {

struct Job {
  Request request;
  Callbacks callbacks;
  Cancel cancel;
  FakeAnswer script;
  std::optional<Error> refused;  // told from the generator's thread
  std::vector<ThinkSplitter> splitters;
  std::vector<std::string> rest;  // what is still to say, by choice
  Reply reply;
};

size_t character(std::string_view text) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  const size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return std::min(n, text.size());
}

// A log-probability that depends on the token only, so that tests can foresee it.
float fake_logprob(std::string_view token) { return -0.5f - static_cast<float>(fnv1a(token) % 100) / 100; }

Token make_token(std::string_view bytes, int top) {
  Token token;
  token.id = static_cast<int32_t>(static_cast<uint8_t>(bytes[0]));
  token.bytes = bytes;
  token.logprob = fake_logprob(bytes);
  for (int k = 0; k < top; ++k)
    token.top.push_back({1000 + k, "alt" + std::to_string(k), -0.25f * static_cast<float>(k + 1)});
  return token;
}

}  // namespace

struct FakeGenerator::State {
  Script script;
  std::string name;
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::list<std::shared_ptr<Job>> active;
  std::vector<Request> seen;
  bool stop = false;
  std::atomic<int64_t> cancelled{0}, tokens{0};
  std::thread thread;
  std::optional<Random> disorder;

  static void say(Job& job, size_t i, std::string_view bytes, bool last, std::string_view ended_by = {}) {
    Delta delta;
    delta.index = static_cast<int>(i);
    delta.text = bytes;
    if (!bytes.empty()) job.splitters[i].feed(bytes, delta.reasoning, delta.content);
    if (last) job.splitters[i].finish(delta.reasoning, delta.content);
    if (!ended_by.empty()) {
      ++job.reply.usage.completion_tokens;
      if (job.request.top_logprobs >= 0) delta.tokens.push_back(make_token(ended_by, job.request.top_logprobs));
      if (!delta.tokens.empty()) delta.tokens.back().is_text = false;
    }
    Choice& choice = job.reply.choices[i];
    if (!bytes.empty()) {
      if (job.request.top_logprobs >= 0) delta.tokens.push_back(make_token(bytes, job.request.top_logprobs));
      ++job.reply.usage.completion_tokens;
    }
    choice.tokens.insert(choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    choice.text += delta.text;
    choice.reasoning += delta.reasoning;
    choice.content += delta.content;
    const bool any = !delta.text.empty() || !delta.reasoning.empty() || !delta.content.empty() || !delta.tokens.empty();
    if (any && job.callbacks.on_delta) job.callbacks.on_delta(delta);
  }

  // The next token of a choice, or its end.
  void go_on(Job& job, size_t i) {
    Choice& choice = job.reply.choices[i];
    std::string& rest = job.rest[i];
    const int limit = job.request.sampling.max_tokens;
    const bool full = limit > 0 && static_cast<int>(utf8_length(choice.text)) >= limit;
    if (rest.empty() || full) {
      const bool cut = full && !rest.empty();
      say(job, i, "", true, cut ? "" : job.script.end_token);
      choice.finish_reason = cut ? "length" : job.script.finish_reason;
      return;
    }
    const size_t n = character(rest);
    const std::string token = rest.substr(0, n);
    rest.erase(0, n);
    ++tokens;
    say(job, i, token, false);
  }

  // One token of each choice, or as disorder has it. True where the request ended; its result is then in `result`.
  bool advance(Job& job, Result<Reply>& result) {
    if (job.cancel.requested()) {
      ++cancelled;
      result = fail(Code::Cancelled, "cancelled after {} tokens", job.reply.usage.completion_tokens);
      return true;
    }
    if (job.refused) {
      result = std::move(*job.refused);
      return true;
    }
    if (job.script.step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(job.script.step_us));
    bool open = false;
    for (size_t i = 0; i < job.rest.size(); ++i) {
      const std::string& end = job.reply.choices[i].finish_reason;
      for (uint64_t n = disorder ? disorder->below(4) : 1; n > 0 && end.empty(); --n) go_on(job, i);
      open = open || end.empty();
    }
    if (!open) result = std::move(job.reply);
    return !open;
  }

  static size_t utf8_length(std::string_view text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
  }

  void run() {
    for (;;) {
      std::vector<std::shared_ptr<Job>> round;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stop || !active.empty(); });
        if (stop) break;
        for (const auto& job : active) round.push_back(job);
      }
      if (disorder) {
        shuffle(round, *disorder);
        round.resize(1 + disorder->below(round.size()));
      }
      for (const auto& job : round) {
        Result<Reply> result = fail(Code::Internal, "unset");
        if (!advance(*job, result)) continue;
        {
          const std::lock_guard lock(mutex);
          active.remove(job);
        }
        job->callbacks.on_done(std::move(result));
      }
    }
    for (const auto& job : active) job->callbacks.on_done(fail(Code::Cancelled, "the generator was closed"));
  }
};

FakeGenerator::FakeGenerator(Script script, std::string name, uint64_t disorder) : state_(std::make_unique<State>()) {
  if (disorder != 0) state_->disorder.emplace(disorder, 0);
  state_->script = std::move(script);
  state_->name = std::move(name);
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

FakeGenerator::~FakeGenerator() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

void FakeGenerator::submit(Request request, Callbacks callbacks, Cancel cancel) {
  auto job = std::make_shared<Job>();
  Result<FakeAnswer> answer = fail(Code::Internal, "unset");
  {
    const std::lock_guard lock(state_->mutex);
    answer = state_->script(request, static_cast<int64_t>(state_->seen.size()));
    state_->seen.push_back(request);
  }
  if (answer.ok())
    job->script = std::move(answer).value();
  else
    job->refused = std::move(answer).error();
  if (job->script.texts.empty()) job->script.texts.emplace_back();
  job->reply.model = state_->name;
  job->reply.usage.prompt_tokens = job->script.prompt_tokens;
  const bool chat = request.prompt_ids.empty() && !request.prompt;
  for (int i = 0; i < request.n; ++i) {
    Choice choice;
    choice.index = i;
    job->reply.choices.push_back(choice);
    job->splitters.emplace_back();
    // Raw prompts have no thought: everything is content.
    if (!chat) {
      std::string ignored;
      job->splitters.back().finish(ignored, ignored);
    }
    std::string text = job->script.texts[static_cast<size_t>(i) % job->script.texts.size()];
    for (const std::string& stop : request.sampling.stop) text.resize(std::min(text.size(), text.find(stop)));
    job->rest.push_back(std::move(text));
  }
  if (request.prompt_logprobs && request.prompt) {
    for (std::string_view rest = *request.prompt; !rest.empty(); rest.remove_prefix(character(rest)))
      job->reply.prompt_tokens.push_back(
          make_token(rest.substr(0, character(rest)), std::max(0, request.top_logprobs)));
    if (!job->reply.prompt_tokens.empty()) job->reply.prompt_tokens[0].logprob = __builtin_nanf("");
  }
  job->request = std::move(request);
  job->callbacks = std::move(callbacks);
  job->cancel = std::move(cancel);
  {
    const std::lock_guard lock(state_->mutex);
    state_->active.push_back(std::move(job));
  }
  state_->wake.notify_all();
}

std::string FakeGenerator::name() const { return state_->name; }

std::vector<Request> FakeGenerator::requests() const {
  const std::lock_guard lock(state_->mutex);
  return state_->seen;
}

int64_t FakeGenerator::cancelled() const { return state_->cancelled; }
int64_t FakeGenerator::tokens() const { return state_->tokens; }

}  // namespace retort::model
