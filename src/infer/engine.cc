#include "infer/engine.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "base/env.h"
#include "base/random.h"
#include "infer/sampler.h"
#include "infer/scorer.h"
#include "infer/text_stream.h"
#include "model/chat_turn.h"

namespace retort::infer {
namespace {

constexpr int kMaxChoices = 256;
// Prompt tokens of a pass where each wants its logits: bounds them to this many times the vocabulary.
constexpr int kScoredChunk = 64;

// A request on its way, shared by its choices.
struct Job {
  model::Request request;
  model::Callbacks callbacks;
  Cancel cancel;
  Status refused;  // found while submitting, told from the scheduler's thread
  std::vector<int32_t> prompt;
  bool split_thought = false, in_thought = false;
  uint64_t seed = 0;
  int max_tokens = 0;  // as bounded by the context

  // Once the prompt has been run: what its choices start from.
  std::unique_ptr<KvCache> prompt_cache;
  std::vector<float> prompt_logits;
  int started = 0, finished = 0;
  model::Reply reply;
};

// One choice while it is made. The first to start also runs the prompt.
struct Sequence {
  std::shared_ptr<Job> job;
  int index = 0;
  KvCache cache;
  std::vector<int32_t> ids;  // prompt and what was generated
  int cached = 0;            // of these, how many the cache holds
  bool prompt_done = false;  // the job's prompt has been run once
  TextStream text;
  model::Choice choice;
  bool done = false;
};

// What one row with logits is for.
struct Wish {
  Sequence* sequence = nullptr;
  int scored = -1;  // index of the prompt token that the row tells about, or -1: the row gives the next token
};

int pages_for(int positions) { return (positions + kernels::kPagePositions - 1) / kernels::kPagePositions; }

}  // namespace

struct Engine::State {
  std::shared_ptr<const model::Model> model;
  std::shared_ptr<const Network> network;
  Options options;
  std::string name;
  std::vector<int32_t> eos;
  int64_t page_limit = 0;
  size_t longest_token = 0;  // in bytes of text; 0: not known, as the tokenizer may drop some

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Job>> submitted;
  uint64_t submissions = 0;
  bool stop = false;
  std::thread thread;

  // The scheduler's own.
  std::deque<std::shared_ptr<Job>> waiting;  // not all choices started
  std::vector<std::unique_ptr<Sequence>> active;
  Workspace workspace;

  Status prepare(Job& job, uint64_t number);
  Status check_length(std::string_view text) const;
  void run();
  void admit();
  void step();
  bool make_room(Sequence& sequence, int count);
  int64_t pages_in_use() const;
  model::Token token_at(std::span<const float> logits, int32_t id, int top) const;
  void accept(Sequence& sequence, model::Token token);
  void fail_job(std::shared_ptr<Job> job, Error error);
  void start_choice(const std::shared_ptr<Job>& job);
  void finish_choice(Sequence& sequence, const char* reason, TextPiece piece, std::vector<model::Token> tokens);
};

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const model::Model> model, const Options& options) {
  constexpr int64_t kMostMib = std::numeric_limits<int64_t>::max() >> 20;
  if (options.max_batch < 1 || options.prefill_chunk < 1 || options.kv_limit_mib < 1 || options.kv_limit_mib > kMostMib)
    return fail(Code::Invalid, "max_batch {} and prefill_chunk {} must be at least 1, kv_limit_mib {} between 1 and {}",
                options.max_batch, options.prefill_chunk, options.kv_limit_mib, kMostMib);
  RETORT_TRY(check_threads(options.threads));
  auto pool = std::make_shared<TaskPool>(options.threads);
  RETORT_ASSIGN(auto network, Network::create(model, pool, options.max_context));
  auto state = std::make_unique<State>();
  const model::Config& config = model->config;
  state->page_limit =
      (options.kv_limit_mib << 20) / KvCache::page_bytes({config.kv_heads, config.head_dim}, config.layers);
  if (state->page_limit < 1)
    return fail(Code::Limit, "kv_limit_mib {} holds not even {} positions of `{}`; give at least {}",
                options.kv_limit_mib, kernels::kPagePositions, model->name,
                (KvCache::page_bytes({config.kv_heads, config.head_dim}, config.layers) >> 20) + 1);
  state->eos = model::end_ids(config, model->tokenizer);
  const model::TokenizerSpec& spec = model->tokenizer.spec();
  const bool drops =
      std::any_of(spec.added.begin(), spec.added.end(), [](const auto& t) { return t.lstrip || t.rstrip; });
  if (!drops && spec.unk_token.empty()) {
    for (int32_t id = 0; id < model->tokenizer.vocab_size(); ++id)
      state->longest_token = std::max(state->longest_token, model->tokenizer.token_bytes(id).size());
  }
  state->options = options;
  state->name = options.name.empty() ? model->name : options.name;
  state->network = std::move(network);
  state->model = std::move(model);
  State* s = state.get();
  state->thread = std::thread([s] { s->run(); });
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

Engine::~Engine() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

std::string Engine::name() const { return state_->name; }
const model::Model& Engine::model() const { return *state_->model; }
int Engine::max_context() const { return state_->network->max_context(); }
std::shared_ptr<const Network> Engine::network() const { return state_->network; }

void Engine::submit(model::Request request, model::Callbacks callbacks, Cancel cancel) {
  auto job = std::make_shared<Job>();
  job->request = std::move(request);
  job->callbacks = std::move(callbacks);
  job->cancel = std::move(cancel);
  uint64_t number;
  {
    const std::lock_guard lock(state_->mutex);
    number = state_->submissions++;
  }
  job->refused = state_->prepare(*job, number);  // tokenises in the caller's thread
  {
    const std::lock_guard lock(state_->mutex);
    state_->submitted.push_back(std::move(job));
  }
  state_->wake.notify_all();
}

// A text that no tokens of the context can hold is refused before time is spent on tokenising it.
Status Engine::State::check_length(std::string_view text) const {
  constexpr size_t kComposed = 4;  // normalisation makes a text this many times shorter at most
  if (longest_token == 0) return {};
  const size_t least = text.size() / kComposed / longest_token, context = static_cast<size_t>(network->max_context());
  if (least < context) return {};
  return fail(Code::Limit, "prompt has at least {} tokens ({} bytes), the context holds {}; shorten it", least,
              text.size(), context);
}

// Tokens, limits and seed of a request.
Status Engine::State::prepare(Job& job, uint64_t number) {
  const model::Request& r = job.request;
  if (job.cancel.requested()) return fail(Code::Cancelled, "the request was cancelled");
  RETORT_TRY(check_sampling(r.sampling));
  if (r.n < 1 || r.n > kMaxChoices) return fail(Code::Invalid, "n {} is outside 1 to {}", r.n, kMaxChoices);
  if (r.top_logprobs > network->vocabulary())
    return fail(Code::Invalid, "top_logprobs {} passes the vocabulary of {}", r.top_logprobs, network->vocabulary());
  if (!r.prompt_ids.empty()) {
    job.prompt = r.prompt_ids;
  } else if (r.prompt) {
    RETORT_TRY(check_length(*r.prompt));
    RETORT_ASSIGN(job.prompt, model->tokenizer.encode_prompt(*r.prompt));
  } else {
    RETORT_ASSIGN(const model::ChatTemplate* chat, model::need_chat_template(*model));
    const auto admit = [&](std::string_view text) -> Status {
      if (job.cancel.requested()) return fail(Code::Cancelled, "the request was cancelled");
      return check_length(text);
    };
    RETORT_ASSIGN(model::ChatPrompt prompt,
                  model::chat_prompt(model->tokenizer, *chat, r.messages,
                                     {r.template_variables, system_env().wall_us(), admit, &job.cancel}));
    job.prompt = std::move(prompt.ids);
    job.split_thought = true;
    job.in_thought = prompt.in_thought;
  }
  if (job.prompt.empty()) return fail(Code::Invalid, "the prompt has no tokens; give it at least one");
  for (const int32_t id : job.prompt)
    if (id < 0 || id >= network->vocabulary())
      return fail(Code::Invalid, "token id {} in the prompt is outside the vocabulary of {}", id,
                  network->vocabulary());
  const int context = network->max_context(), length = static_cast<int>(job.prompt.size());
  if (length >= context)
    return fail(Code::Limit, "prompt has {} tokens, the context holds {}{}; shorten it", length, context,
                length == context ? " and the answer needs at least one" : "");
  job.max_tokens = context - length;
  if (r.sampling.max_tokens > 0) job.max_tokens = std::min(job.max_tokens, r.sampling.max_tokens);
  if (pages_for(length + job.max_tokens) > page_limit)
    return fail(Code::Limit, "prompt and answer may need {} positions, kv_limit_mib {} holds {}; lower max_tokens",
                length + job.max_tokens, options.kv_limit_mib, page_limit * kernels::kPagePositions);
  job.seed = r.sampling.seed ? *r.sampling.seed : Random(options.seed, number).next();
  job.reply.model = name;
  job.reply.choices.resize(static_cast<size_t>(r.n));
  job.reply.usage.prompt_tokens = length;
  return {};
}

void Engine::State::run() {
  for (;;) {
    bool stopping;
    {
      std::unique_lock lock(mutex);
      if (waiting.empty() && active.empty()) wake.wait(lock, [&] { return stop || !submitted.empty(); });
      for (; !submitted.empty(); submitted.pop_front()) waiting.push_back(std::move(submitted.front()));
      stopping = stop;
    }
    std::vector<std::pair<std::shared_ptr<Job>, Error>> ends;
    const auto look = [&](const std::shared_ptr<Job>& job) {
      for (const auto& [known, error] : ends)
        if (known == job) return;
      if (!job->refused.ok())
        ends.emplace_back(job, job->refused.error());
      else if (stopping)
        ends.emplace_back(job, fail(Code::Cancelled, "the engine is shutting down"));
      else if (job->cancel.requested())
        ends.emplace_back(job, fail(Code::Cancelled, "the request was cancelled"));
    };
    for (const auto& job : waiting) look(job);
    for (const auto& sequence : active) look(sequence->job);
    for (auto& [job, error] : ends) fail_job(job, std::move(error));
    if (stopping) {
      // A request may have arrived meanwhile; it ends in the next round.
      const std::lock_guard lock(mutex);
      if (submitted.empty()) return;
      continue;
    }
    try {
      admit();
      step();
    } catch (const std::exception& e) {
      const Error error = fail(Code::Internal, "the engine could not go on with this request: {}", e.what());
      while (!active.empty()) fail_job(active.front()->job, error);
    }
  }
}

// By value: the sequence that `job` came from goes away here.
void Engine::State::fail_job(std::shared_ptr<Job> job, Error error) {
  std::erase_if(active, [&](const auto& sequence) { return sequence->job == job; });
  std::erase(waiting, job);
  job->callbacks.on_done(std::move(error));
}

int64_t Engine::State::pages_in_use() const {
  std::unordered_set<const float*> pages;  // choices share their prompt's
  for (const auto& sequence : active) sequence->cache.list_pages(pages);
  for (const auto& job : waiting)
    if (job->prompt_cache) job->prompt_cache->list_pages(pages);
  return static_cast<int64_t>(pages.size());
}

// Starts choices in the order of their requests while there is room. A request's first choice runs the prompt; the
// others wait for it and start from copies of its cache.
void Engine::State::admit() {
  for (size_t i = 0; i < waiting.size();) {
    const auto job = waiting[i];
    const bool prompt_running = std::any_of(active.begin(), active.end(), [&](const auto& sequence) {
      return sequence->job == job && !sequence->prompt_done;
    });
    if (!prompt_running) {
      while (job->started < job->request.n && static_cast<int>(active.size()) < options.max_batch) {
        // A copy of the prompt's cache writes to the page that its next position is on.
        const int needed = job->prompt_cache ? 1 : pages_for(static_cast<int>(job->prompt.size()) + 1);
        if (!active.empty() && pages_in_use() + needed > page_limit) break;
        start_choice(job);
        if (!job->prompt_cache) break;
      }
    }
    if (job->started == job->request.n) {
      job->prompt_cache.reset();
      job->prompt_logits = {};
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void Engine::State::start_choice(const std::shared_ptr<Job>& job) {
  auto sequence =
      std::make_unique<Sequence>(Sequence{job,
                                          job->started++,
                                          job->prompt_cache ? *job->prompt_cache : network->make_cache(),
                                          job->prompt,
                                          0,
                                          false,
                                          TextStream(job->request.sampling.stop, job->split_thought, job->in_thought),
                                          {},
                                          false});
  sequence->choice.index = sequence->index;
  if (job->prompt_cache) {
    sequence->prompt_done = true;
    sequence->cached = static_cast<int>(job->prompt.size());
    const model::Sampling& sampling = job->request.sampling;
    const int32_t id = sample(job->prompt_logits, sampling, job->seed, sequence->index, 0);
    accept(*sequence, token_at(job->prompt_logits, id, job->request.top_logprobs));
  }
  if (!sequence->done) active.push_back(std::move(sequence));
}

// Room for `count` more positions; takes the pages of the youngest others where they have run out. Those run their
// tokens again later, to the same bits.
bool Engine::State::make_room(Sequence& sequence, int count) {
  for (int needed;
       (needed = sequence.cache.pages_to_make(sequence.cached, count)) > 0 && pages_in_use() + needed > page_limit;) {
    Sequence* victim = nullptr;
    for (const auto& other : active)
      if (other.get() != &sequence && other->cached > 0) victim = other.get();
    // Only later ones give way, so the oldest always goes on.
    bool later = false;
    for (const auto& other : active) {
      if (other.get() == &sequence) later = true;
      if (other.get() == victim) break;
    }
    if (victim == nullptr || !later) {
      bool freed = false;
      for (const auto& job : waiting)
        if (job->prompt_cache) {
          job->prompt_cache.reset();  // its next choice runs the prompt again
          freed = true;
        }
      if (freed) continue;
      return victim == nullptr;  // alone: prepare() made sure that it fits
    }
    victim->cache.truncate(0);
    victim->cached = 0;
  }
  return true;
}

model::Token Engine::State::token_at(std::span<const float> logits, int32_t id, int top) const {
  const auto choice = [&](int32_t which, double logprob) {
    return model::TokenChoice{which, std::string(model->tokenizer.token_bytes(which)), static_cast<float>(logprob)};
  };
  model::Token token{choice(id, logprob_of(logits, id)), {}};
  for (const TokenScore& one : top_logprobs(logits, top)) token.top.push_back(choice(one.id, one.logprob));
  return token;
}

void Engine::State::step() {
  // Decoding sequences first, then pieces of prompts up to prefill_chunk tokens.
  std::vector<Row> rows;
  std::vector<Wish> wishes;
  std::vector<std::pair<Sequence*, int>> fed;
  int budget = options.prefill_chunk;
  const auto feed = [&](Sequence& s, int count) {
    if (const Status status = s.cache.prepare(s.cached, count); !status.ok()) return status;
    const int known = static_cast<int>(s.ids.size());
    const bool scored = s.job->request.prompt_logprobs && !s.prompt_done && s.index == 0;
    for (int i = 0; i < count; ++i) {
      const int at = s.cached + i;
      const bool last = at == known - 1;
      rows.push_back({&s.cache, s.ids[static_cast<size_t>(at)], at, last || scored});
      if (last)
        wishes.push_back({&s, -1});
      else if (scored)
        wishes.push_back({&s, at + 1});
    }
    fed.emplace_back(&s, count);
    return Status();
  };
  std::vector<std::pair<std::shared_ptr<Job>, Error>> broken;
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < active.size(); ++i) {
      Sequence& s = *active[i];
      const int left = static_cast<int>(s.ids.size()) - s.cached;
      if ((left == 1 && s.cached > 0) != decoding) continue;
      int count = left;
      if (!decoding) {
        if (budget == 0) continue;
        count = std::min(left, budget);
        if (s.job->request.prompt_logprobs && !s.prompt_done) count = std::min(count, kScoredChunk);
      }
      // A sequence that this pass already holds must keep its cache, so room is made only by those not fed yet.
      const int needed = s.cache.pages_to_make(s.cached, count);
      if (needed > 0 && pages_in_use() + needed > page_limit) {
        if (!rows.empty() || !make_room(s, count)) continue;
      }
      if (!decoding) budget -= count;
      if (const Status status = feed(s, count); !status.ok()) broken.emplace_back(s.job, status.error());
    }
  }
  for (auto& [job, error] : broken) {
    fail_job(job, std::move(error));
  }
  if (!broken.empty() || rows.empty()) return;

  const auto logits = network->forward(rows, workspace);
  if (const Status whole = model->whole(); !whole.ok()) {  // embeddings are read from the file
    while (!active.empty()) fail_job(active.front()->job, whole.error());
    return;
  }
  for (const auto& [sequence, count] : fed) sequence->cached += count;

  // Draws and log-probabilities of all rows at once, then their consequences in order.
  const auto vocabulary = static_cast<size_t>(network->vocabulary());
  std::vector<model::Token> tokens(wishes.size());
  network->pool().run(static_cast<int>(wishes.size()), [&](int i) {
    const Wish& wish = wishes[static_cast<size_t>(i)];
    const Sequence& s = *wish.sequence;
    const auto row = logits.subspan(static_cast<size_t>(i) * vocabulary, vocabulary);
    const int position = static_cast<int>(s.ids.size() - s.job->prompt.size());
    const int32_t id = wish.scored >= 0 ? s.ids[static_cast<size_t>(wish.scored)]
                                        : sample(row, s.job->request.sampling, s.job->seed, s.index, position);
    tokens[static_cast<size_t>(i)] = token_at(row, id, s.job->request.top_logprobs);
  });
  // Weights that are finite can still give sums that are not: an answer drawn from them would mean nothing.
  std::vector<std::shared_ptr<Job>> lost;
  const auto is_lost = [&](const std::shared_ptr<Job>& job) {
    return std::find(lost.begin(), lost.end(), job) != lost.end();
  };
  for (size_t i = 0; i < wishes.size(); ++i) {
    const auto& job = wishes[i].sequence->job;
    if (!std::isfinite(tokens[i].logprob) && !is_lost(job)) lost.push_back(job);
  }
  std::vector<bool> skip(wishes.size());  // said before fail_job() takes their sequences away
  for (size_t i = 0; i < wishes.size(); ++i) skip[i] = is_lost(wishes[i].sequence->job);
  for (const auto& job : lost) fail_job(job, no_number(name));
  for (size_t i = 0; i < wishes.size(); ++i) {
    if (skip[i]) continue;
    Sequence& s = *wishes[i].sequence;
    Job& job = *s.job;
    if (job.request.prompt_logprobs && !s.prompt_done && s.index == 0 && job.reply.prompt_tokens.empty()) {
      model::Token first;
      first.id = job.prompt[0];
      first.bytes = model->tokenizer.token_bytes(first.id);
      first.logprob = std::numeric_limits<float>::quiet_NaN();
      job.reply.prompt_tokens.push_back(std::move(first));
    }
    if (wishes[i].scored >= 0) {
      if (static_cast<size_t>(wishes[i].scored) == job.reply.prompt_tokens.size())
        job.reply.prompt_tokens.push_back(std::move(tokens[i]));
      continue;
    }
    if (!s.prompt_done) {
      s.prompt_done = true;
      if (job.started < job.request.n && s.ids.size() == job.prompt.size()) {
        job.prompt_cache = std::make_unique<KvCache>(s.cache);
        const auto row = logits.subspan(i * vocabulary, vocabulary);
        job.prompt_logits.assign(row.begin(), row.end());
      }
    }
    accept(s, std::move(tokens[i]));
  }
  std::erase_if(active, [](const auto& sequence) { return sequence->done; });
}

// Takes the next token of a choice: ends it or extends its text.
void Engine::State::accept(Sequence& s, model::Token token) {
  Job& job = *s.job;
  ++job.reply.usage.completion_tokens;
  if (std::find(eos.begin(), eos.end(), token.id) != eos.end()) {
    token.is_text = false;
    return finish_choice(s, "stop", {}, {std::move(token)});
  }
  s.ids.push_back(token.id);
  if (s.text.in_thought()) ++job.reply.usage.reasoning_tokens;
  const std::string_view shown = model::shown_bytes(model->tokenizer, token.id);
  token.is_text = !shown.empty() || token.bytes.empty();
  TextPiece piece;
  const bool stopped = s.text.push(shown, piece);
  std::vector<model::Token> tokens;
  tokens.push_back(std::move(token));
  const bool full = static_cast<int>(s.ids.size() - job.prompt.size()) >= job.max_tokens;
  if (stopped) return finish_choice(s, "stop", std::move(piece), std::move(tokens));
  if (full) return finish_choice(s, "length", std::move(piece), std::move(tokens));
  s.choice.text += piece.text;
  s.choice.reasoning += piece.reasoning;
  s.choice.content += piece.content;
  s.choice.tokens.push_back(tokens[0]);
  if (job.callbacks.on_delta)
    job.callbacks.on_delta(
        {s.index, std::move(piece.reasoning), std::move(piece.content), std::move(piece.text), std::move(tokens)});
}

void Engine::State::finish_choice(Sequence& s, const char* reason, TextPiece piece, std::vector<model::Token> tokens) {
  Job& job = *s.job;
  s.done = true;
  s.text.finish(piece);
  s.choice.text += piece.text;
  s.choice.reasoning += piece.reasoning;
  s.choice.content += piece.content;
  s.choice.tokens.insert(s.choice.tokens.end(), tokens.begin(), tokens.end());
  s.choice.finish_reason = reason;
  if (job.callbacks.on_delta &&
      (!piece.text.empty() || !piece.content.empty() || !piece.reasoning.empty() || !tokens.empty()))
    job.callbacks.on_delta(
        {s.index, std::move(piece.reasoning), std::move(piece.content), std::move(piece.text), std::move(tokens)});
  job.reply.choices[static_cast<size_t>(s.index)] = std::move(s.choice);
  if (++job.finished == job.request.n) job.callbacks.on_done(std::move(job.reply));
}

}  // namespace retort::infer
