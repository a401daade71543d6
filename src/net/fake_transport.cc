#include "net/fake_transport.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

namespace retort::net {
namespace {

struct Exchange {
  FakeExchange script;
  std::function<bool(std::string_view)> on_chunk;
  std::function<void(Result<HttpResponse>)> on_done;
  Cancel cancel, owner;
  int delay = 0;
  int64_t max_body_bytes = 0;
  size_t next = 0;
  HttpResponse response;
};

}  // namespace

Error fake_cut(size_t bytes) {
  Error error = fail(Code::Unavailable, "the response was cut after {} bytes: connection closed", bytes);
  error.maybe_charged = true;
  return error;
}

struct FakeTransport::State {
  Answer answer;
  Clock clock = Clock::Thread;
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::list<std::shared_ptr<Exchange>> active;
  std::vector<HttpRequest> seen;
  int most = 0;
  bool stop = false;
  std::thread thread;

  static HttpResponse respond(Exchange& x) {
    x.response.status = x.script.status;
    x.response.headers = x.script.headers;
    return std::move(x.response);
  }

  // Moves one exchange by a step, without the lock. Its result where it ended.
  static std::optional<Result<HttpResponse>> advance(Exchange& x) {
    if (x.cancel.requested() || x.owner.requested())
      return Result<HttpResponse>(fail(Code::Cancelled, "cancelled with {} bytes received", x.response.body.size()));
    if (x.delay > 0) {
      --x.delay;
      return {};
    }
    if (x.next < x.script.chunks.size()) {
      const std::string& chunk = x.script.chunks[x.next++];
      x.response.body += chunk;
      if (static_cast<int64_t>(x.response.body.size()) > x.max_body_bytes) {
        Error error = fail(Code::Limit, "the response is larger than {} bytes", x.max_body_bytes);
        error.maybe_charged = true;
        return Result<HttpResponse>(std::move(error));
      }
      const bool ok = x.script.status >= 200 && x.script.status < 300;
      if (x.on_chunk && ok && !x.on_chunk(chunk)) return Result<HttpResponse>(respond(x));
      if (x.next < x.script.chunks.size()) return {};
    }
    if (x.script.fail) return Result<HttpResponse>(*x.script.fail);
    return Result<HttpResponse>(respond(x));
  }

  bool step() {
    std::vector<std::shared_ptr<Exchange>> round;
    {
      const std::lock_guard lock(mutex);
      for (const auto& x : active) round.push_back(x);
    }
    for (const auto& x : round) {
      auto result = advance(*x);
      if (!result) continue;
      {
        const std::lock_guard lock(mutex);
        active.remove(x);
      }
      x->on_done(std::move(*result));
    }
    return !round.empty();
  }
};

FakeTransport::FakeTransport(Answer answer, Clock clock) : state_(std::make_unique<State>()) {
  state_->answer = std::move(answer);
  state_->clock = clock;
  if (clock == Clock::Manual) return;
  state_->thread = std::thread([state = state_.get()] {
    for (;;) {
      {
        std::unique_lock lock(state->mutex);
        state->wake.wait(lock, [&] { return state->stop || !state->active.empty(); });
        if (state->stop) return;
      }
      state->step();
    }
  });
}

FakeTransport::~FakeTransport() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  if (state_->thread.joinable()) state_->thread.join();
  for (const auto& x : state_->active) x->on_done(fail(Code::Cancelled, "the transport was closed"));
}

void FakeTransport::send(HttpRequest request, std::function<bool(std::string_view)> on_chunk,
                         std::function<void(Result<HttpResponse>)> on_done, Cancel cancel) {
  auto x = std::make_shared<Exchange>();
  x->on_chunk = std::move(on_chunk);
  x->on_done = std::move(on_done);
  x->cancel = std::move(cancel);
  x->owner = request.owner;
  x->max_body_bytes = request.max_body_bytes;
  {
    const std::lock_guard lock(state_->mutex);
    x->script = state_->answer(request, static_cast<int64_t>(state_->seen.size()));
    x->delay = x->script.delay_steps;
    state_->seen.push_back(std::move(request));
    state_->active.push_back(std::move(x));
    state_->most = std::max(state_->most, static_cast<int>(state_->active.size()));
  }
  state_->wake.notify_all();
}

bool FakeTransport::step() { return state_->step(); }

void FakeTransport::run() {
  while (step()) {
  }
}

std::vector<HttpRequest> FakeTransport::requests() const {
  const std::lock_guard lock(state_->mutex);
  return state_->seen;
}

int FakeTransport::in_flight() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<int>(state_->active.size());
}

int FakeTransport::max_in_flight() const {
  const std::lock_guard lock(state_->mutex);
  return state_->most;
}

}  // namespace retort::net
