// FakeTransport: a Transport that answers from a script, for tests of clients: any status, headers and body pieces,
// cuts in the middle, delays in virtual steps, no sockets and no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/transport.h"

namespace retort::net {

// How one request is answered.
struct FakeExchange {
  int status = 200;
  Headers headers;                  // names in lower case
  std::vector<std::string> chunks;  // body pieces, one a step
  int delay_steps = 0;              // steps before the first piece
  // Where set, the exchange ends with this error after the pieces (a cut, a time-out, no connection).
  std::optional<Error> fail;
};

// The error of a connection that was cut after `bytes` body bytes, as CurlTransport reports it.
Error fake_cut(size_t bytes);

class FakeTransport final : public Transport {
 public:
  using Answer = std::function<FakeExchange(const HttpRequest& request, int64_t number)>;
  enum class Clock {
    Thread,  // a thread of its own takes steps as fast as it can
    Manual,  // only step() moves; callbacks run in it
  };
  // `answer` is asked for each request, `number` counting from 0 in the order of sending. It must not call back.
  explicit FakeTransport(Answer answer, Clock clock = Clock::Thread);
  ~FakeTransport() override;
  void send(HttpRequest request, std::function<bool(std::string_view)> on_chunk,
            std::function<void(Result<HttpResponse>)> on_done, Cancel cancel) override;

  // One virtual step of every exchange, in the order of sending. False where none is under way.
  bool step();
  void run();                                 // steps until none is under way
  std::vector<HttpRequest> requests() const;  // seen so far
  int in_flight() const;
  int max_in_flight() const;  // the most at one time so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort::net
