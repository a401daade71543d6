// The HTTP server with raw sockets (what a well-behaved client cannot send) and the curl transport against the server
// with faults on purpose.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "net/curl_transport.h"
#include "net/fake_transport.h"
#include "net/http_server.h"

namespace retort::net {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Waits for what another thread brings about; generous, since it only ends a test that fails.
template <class F>
bool eventually(F condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

std::unique_ptr<HttpServer> serve(Handler handler, ServerOptions options = {}, OnHead on_head = {}) {
  options.port = 0;
  auto server = HttpServer::start(options, std::move(handler), std::move(on_head));
  EXPECT_TRUE(server.ok()) << server.error().message;
  return std::move(server).value();
}

class Socket {
 public:
  explicit Socket(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    timeval limit{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~Socket() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Everything until the server closes, or until `enough` is in it.
  std::string read(std::string_view enough = {}) {
    std::string got;
    char buffer[4096];
    for (;;) {
      const auto n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n < 0) {
        EXPECT_NE(errno, EAGAIN) << "the server kept the connection, silent";
      }
      if (n <= 0) return got;
      got.append(buffer, static_cast<size_t>(n));
      if (!enough.empty() && got.find(enough) != std::string::npos) return got;
    }
  }
  void end_sending() { ::shutdown(fd_, SHUT_WR); }
  // The server has closed the connection, as far as can be seen without waiting.
  bool closed() const {
    char byte = 0;
    const auto n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
  }

 private:
  int fd_;
};

HttpRequest get(const HttpServer& server, const std::string& path) {
  HttpRequest request;
  request.url = server.url() + path;
  return request;
}

void echo(ServerRequest request, std::shared_ptr<Responder> answer) {
  answer->send(200, {{"X-Path", request.path}, {"X-Query", request.query}, {"X-Method", request.method}}, request.body);
}

TEST(Server, AnswersAndKeepsTheConnection) {
  auto server = serve(echo);
  CurlTransport curl;
  for (const size_t size : {0, 1, 1000, 3'000'000}) {
    HttpRequest request = get(*server, "/a%20b?x=1");
    request.method = "POST";
    request.body = std::string(size, 'z');
    const auto response = fetch(curl, request);
    ASSERT_TRUE(response.ok()) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, request.body);
    EXPECT_EQ(header(*response, "x-path"), "/a b");
    EXPECT_EQ(header(*response, "x-query"), "x=1");
    EXPECT_EQ(header(*response, "x-method"), "POST");
  }
  Socket raw(server->port());
  raw.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");  // pipelined
  const std::string both = raw.read();
  EXPECT_THAT(both, HasSubstr("X-Path: /1"));
  EXPECT_THAT(both, HasSubstr("X-Path: /2"));
}

TEST(Server, MalformedHttpIsRefusedAndServedOn) {
  auto server = serve(echo);
  const auto ask = [&](std::string_view bytes) {
    Socket raw(server->port());
    raw.send(bytes);
    return raw.read();
  };
  EXPECT_THAT(ask("NONSENSE\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("GET / HTTP/9.9\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: abc\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 200"));
  EXPECT_THAT(ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), HasSubstr("Content-Length: 0"));
  Random random(7);
  const std::string good = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX: y\r\nConnection: close\r\n\r\nhello";
  for (int round = 0; round < 300; ++round) {
    std::string bytes = good;
    for (uint64_t k = 1 + random.below(4); k > 0; --k)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    Socket raw(server->port());
    raw.send(bytes);
    // Left without reading: a longer Content-Length would be waited for.
  }
  CurlTransport curl;
  EXPECT_EQ(fetch(curl, get(*server, "/"))->status, 200);
}

TEST(Server, Limits) {
  ServerOptions options;
  options.max_header_bytes = 1000;
  options.max_body_bytes = 1000;
  options.idle_timeout_ms = 300;
  auto server = serve(echo, options);
  const auto ask = [&](const std::string& bytes) {
    Socket raw(server->port());
    raw.send(bytes);
    return raw.read();
  };
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'a') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'a')),
              StartsWith("HTTP/1.1 413"));
  const std::string chunk = "300\r\n" + std::string(0x300, 'a') + "\r\n";
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_EQ(ask("GET / HT"), "");  // idle: closed without an answer
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
}

// A byte now and then does not hold a connection: the time is for the whole head, and for the whole body.
TEST(Server, TricklingRequestsAreCutOff) {
  ServerOptions options;
  options.idle_timeout_ms = 200;
  auto server = serve(echo, options);
  for (const char* start :
       {"GET / HTTP/1.1\r\nHost: h\r\nX: ", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"}) {
    Socket raw(server->port());
    raw.send(start);
    EXPECT_TRUE(eventually([&] {
      raw.send("a");
      return raw.closed();
    })) << start;
  }
}

// What a client does not read is held up to a limit, and for a time.
TEST(Server, ClientsThatDoNotReadAreCutOff) {
  for (const bool slow : {true, false}) {
    ServerOptions options;
    if (slow) options.write_timeout_ms = 200;
    std::promise<std::shared_ptr<Responder>> arrived;
    auto server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) { arrived.set_value(answer); }, options);
    Socket raw(server->port());
    raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto answer = arrived.get_future().get();
    answer->begin(200, {});
    // More than the system's buffers take; and, where time does not tell, more than the server holds (64 MiB).
    for (int i = 0; i < (slow ? 48 : 120); ++i) answer->write(std::string(1 << 20, 'x'));
    EXPECT_TRUE(eventually([&] { return answer->gone().requested(); })) << slow;
  }
}

TEST(Server, ExpectContinue) {
  auto server = serve(echo);
  Socket raw(server->port());
  raw.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(raw.read("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  raw.send("ok");
  EXPECT_THAT(raw.read(), HasSubstr("\r\n\r\nok"));
}

TEST(Server, TooManyConnectionsAreToldSo) {
  ServerOptions options;
  options.max_connections = 2;
  std::atomic<int> asked{0};
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder>> open;
  auto server = serve(
      [&](ServerRequest, std::shared_ptr<Responder> answer) {
        const std::lock_guard lock(mutex);
        open.push_back(std::move(answer));
        ++asked;
      },
      options);
  Socket a(server->port()), b(server->port());
  a.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  b.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return asked == 2; }));
  Socket c(server->port());
  const std::string answer = c.read();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1"));
  const std::lock_guard lock(mutex);
  for (const auto& one : open) one->send(200, {}, "late");
  EXPECT_THAT(a.read("late"), HasSubstr("200"));
  EXPECT_THAT(b.read("late"), HasSubstr("200"));
}

// Those who wait do not lock others out: the one that waited longest gives way.
TEST(Server, IdleConnectionsGiveWay) {
  ServerOptions options;
  options.max_connections = 2;
  auto server = serve(echo, options);
  Socket a(server->port()), b(server->port());
  a.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  a.read("\r\n\r\n");
  b.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(b.read("\r\n\r\n"), HasSubstr("100 Continue"));
  std::vector<std::unique_ptr<Socket>> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(std::make_unique<Socket>(server->port()));
  Socket c(server->port());
  c.send("GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(c.read(), HasSubstr("X-Path: /c"));
  EXPECT_TRUE(eventually([&] { return a.closed(); }));
  EXPECT_FALSE(b.closed());  // a request on its way goes last
  b.send("as a whole");
  EXPECT_THAT(b.read("as a whol"), HasSubstr("200 OK"));
}

// What an unauthorised client sends after its head is not read, let alone kept.
TEST(Server, RefusesByTheHeadBeforeTheBody) {
  std::atomic<int> handled{0};
  auto server = serve(
      [&](ServerRequest request, std::shared_ptr<Responder> answer) {
        ++handled;
        echo(std::move(request), std::move(answer));
      },
      {},
      [](const ServerRequest& head) {
        Admission admission;
        if (head.path == "/throw") throw std::runtime_error("kaboom");
        if (head.path == "/small") admission.max_body_bytes = 10;
        if (head.header("authorization") == "" && head.path != "/small")
          admission = {401, {{"X-Why", "key"}}, "no key", -1};
        return admission;
      });
  for (const char* how : {"Content-Length: 33554432\r\n", "Transfer-Encoding: chunked\r\n",
                          "Content-Length: 5\r\nExpect: 100-continue\r\n"}) {
    Socket raw(server->port());
    raw.send(std::string("POST / HTTP/1.1\r\nHost: h\r\n") + how + "\r\n");
    const std::string answer = raw.read("no key");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 401")) << how;
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
  }
  Socket kept(server->port());  // without a body the connection is in step
  kept.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(kept.read("no key"), HasSubstr("Connection: keep-alive"));
  kept.send("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string head = kept.read();
  EXPECT_THAT(head, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(head, testing::Not(HasSubstr("no key")));
  EXPECT_EQ(handled, 0);
  const auto ask = [&](const std::string& bytes) {
    Socket raw(server->port());
    raw.send(bytes);
    return raw.read();
  };
  EXPECT_THAT(ask("GET /throw HTTP/1.1\r\nHost: h\r\n\r\n"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(ask("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(ask("POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_EQ(handled, 0);
  EXPECT_THAT(ask("POST /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 10\r\n\r\n0123456789"),
              HasSubstr("0123456789"));
}

TEST(Server, BodiesAreBoundedForAllConnectionsTogether) {
  ServerOptions options;
  options.max_buffered_bytes = 100'000;
  std::mutex mutex;
  std::vector<std::pair<ServerRequest, std::shared_ptr<Responder>>> held;
  auto server = serve(
      [&](ServerRequest request, std::shared_ptr<Responder> answer) {
        const std::lock_guard lock(mutex);
        held.emplace_back(std::move(request), std::move(answer));
      },
      options);
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return held.size();
  };
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n";
  const std::string body(60'000, 'x');
  Socket a(server->port());
  a.send(head + body);
  ASSERT_TRUE(eventually([&] { return count() == 1; }));
  Socket b(server->port());
  b.send(head + body);
  EXPECT_THAT(b.read(), StartsWith("HTTP/1.1 503"));
  {
    const std::lock_guard lock(mutex);
    held[0].second->send(200, {}, "done");
    held.clear();  // the body goes, and with it its count
  }
  EXPECT_THAT(a.read(), HasSubstr("done"));
  Socket left(server->port());
  left.send(head + std::string(50'000, 'x'));
  left.close();  // a body that never came whole does not count on
  EXPECT_TRUE(eventually([&] {
    Socket c(server->port());
    c.send(head + body);
    if (!eventually([&] { return count() > 0 || c.closed(); })) return false;
    const std::lock_guard lock(mutex);
    for (auto& one : held) one.second->send(200, {}, "again");
    held.clear();
    return c.read().find("again") != std::string::npos;
  }));
}

// One request is one request, whoever else reads it on its way here.
TEST(Server, AmbiguousRequestsAreRefusedAndEndTheConnection) {
  std::atomic<int> handled{0};
  auto server = serve([&](ServerRequest request, std::shared_ptr<Responder> answer) {
    ++handled;
    echo(std::move(request), std::move(answer));
  });
  const std::string second = "GET /second HTTP/1.1\r\nHost: h\r\n\r\n";
  for (const char* head :
       {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: xchunked\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: no-host\r\n\r\n"}) {
    Socket raw(server->port());
    raw.send(head + second);
    const std::string answer = raw.read();
    EXPECT_THAT(answer, testing::ContainsRegex("^HTTP/1.[01] 400")) << head;
    EXPECT_EQ(answer.find("HTTP/1.", 1), std::string::npos) << head;  // one answer
  }
  EXPECT_EQ(handled, 0);
}

TEST(Server, ExceptionsAndForgottenAnswersBecome500) {
  auto server = serve([](ServerRequest request, std::shared_ptr<Responder> answer) {
    if (request.path == "/throw") throw std::runtime_error("kaboom");
    if (request.path == "/half") {
      answer->begin(200, {});
      answer->write("half");
    }
  });
  CurlTransport curl;
  const auto thrown = fetch(curl, get(*server, "/throw"));
  ASSERT_TRUE(thrown.ok());
  EXPECT_EQ(thrown->status, 500);
  EXPECT_THAT(thrown->body, HasSubstr("kaboom"));
  EXPECT_EQ(fetch(curl, get(*server, "/drop"))->status, 500);
  const auto half = fetch(curl, get(*server, "/half"));
  ASSERT_FALSE(half.ok());
  EXPECT_EQ(half.error().code, Code::Unavailable);
  EXPECT_THAT(half.error().message, HasSubstr("cut after 4 bytes"));
}

TEST(Server, HeadersCannotBeInjected) {
  auto server = serve([](ServerRequest, std::shared_ptr<Responder> answer) {
    answer->send(200, {{"X-A", "1\r\nX-Evil: 1"}, {"X-B", "2"}}, "");
  });
  CurlTransport curl;
  const auto response = fetch(curl, get(*server, "/"));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(header(*response, "x-evil"), "");
  EXPECT_EQ(header(*response, "x-b"), "2");
}

TEST(Server, StreamsFromAnotherThreadInOrder) {
  std::thread worker;
  auto server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) {
    worker = std::thread([answer] {
      answer->begin(200, {{"Content-Type", "text/event-stream"}});
      for (int i = 0; i < 500; ++i) answer->write(fmt::format("{};", i));
      answer->finish();
    });
  });
  CurlTransport curl;
  std::string expected;
  for (int i = 0; i < 500; ++i) expected += fmt::format("{};", i);
  std::string seen;
  std::promise<Result<HttpResponse>> done;
  curl.send(
      get(*server, "/"), [&](std::string_view chunk) { return seen += chunk, true; },
      [&](Result<HttpResponse> r) { done.set_value(std::move(r)); }, {});
  const auto response = done.get_future().get();
  worker.join();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, expected);
  EXPECT_EQ(seen, expected);
}

// The reader has its end mark, and the server holds the connection: the response does not wait for it.
TEST(Server, AReaderThatHasEnoughIsAnsweredAtOnce) {
  std::promise<std::shared_ptr<Responder>> arrived;
  auto server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) {
    answer->begin(200, {{"Content-Type", "text/event-stream"}});
    answer->write("one;[DONE]");
    arrived.set_value(answer);
  });
  CurlTransport curl;
  std::promise<Result<HttpResponse>> done;
  std::atomic<int> ends{0};
  curl.send(
      get(*server, "/"), [&](std::string_view chunk) { return chunk.find("[DONE]") == std::string_view::npos; },
      [&](Result<HttpResponse> r) {
        if (++ends == 1) done.set_value(std::move(r));
      },
      {});
  auto ended = done.get_future();
  ASSERT_EQ(ended.wait_for(std::chrono::seconds(60)), std::future_status::ready);  // the idle limit is two minutes
  const auto response = ended.get();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "one;[DONE]");
  // The connection is let go though the server never ends its body, which learns it from the next byte it sends.
  EXPECT_TRUE(eventually([&, answer = arrived.get_future().get()] {
    answer->write("x");
    return answer->gone().requested();
  }));
  EXPECT_EQ(ends, 1);
}

TEST(Server, SeesTheClientLeave) {
  std::promise<std::shared_ptr<Responder>> arrived;
  auto server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) { arrived.set_value(answer); });
  Socket raw(server->port());
  raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto answer = arrived.get_future().get();
  EXPECT_FALSE(answer->gone().requested());
  raw.close();
  EXPECT_TRUE(eventually([&] { return answer->gone().requested(); }));
  answer->send(200, {}, "too late");
}

// The end of a connection lies behind whatever was sent before it.
TEST(Server, SeesTheClientLeaveBehindWhatItSentAhead) {
  const std::string pipelined = "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
  for (const std::string& ahead :
       {std::string("G"), pipelined, std::string(100'000, 'x'), std::string(2'000'000, 'x')}) {
    std::promise<std::shared_ptr<Responder>> arrived;
    auto server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) { arrived.set_value(answer); });
    Socket raw(server->port());
    raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto answer = arrived.get_future().get();
    raw.send(ahead);
    raw.close();
    EXPECT_TRUE(eventually([&] { return answer->gone().requested(); })) << ahead.size();
  }
}

TEST(Server, AClientThatOnlyEndsItsSendingGetsItsAnswer) {
  for (const char* version : {"1.1", "1.0"}) {
    for (const bool pieces : {false, true}) {
      auto server = serve([&](ServerRequest request, std::shared_ptr<Responder> answer) {
        answer->after(100, [answer, pieces, path = request.path] {
          EXPECT_FALSE(answer->gone().requested());
          if (!pieces) return answer->send(200, {}, "late " + path);
          answer->begin(200, {});
          answer->after(100, [answer, path] {
            answer->write("late " + path);
            answer->finish();
          });
        });
      });
      Socket raw(server->port());
      const bool two = std::string(version) == "1.1";
      for (const char* path : {"/1", "/2"})
        if (two || path[1] == '1') raw.send(fmt::format("GET {} HTTP/{}\r\nHost: h\r\n\r\n", path, version));
      raw.end_sending();
      const std::string got = raw.read();
      EXPECT_THAT(got, HasSubstr("late /1")) << version << pieces;
      EXPECT_EQ(got.find("late /2") != std::string::npos, two) << pieces;
    }
  }
}

TEST(Server, StopGivesGraceThenCuts) {
  std::promise<void> started;
  std::shared_ptr<Responder> slow;
  auto server = serve([&](ServerRequest request, std::shared_ptr<Responder> answer) {
    if (request.path == "/slow") {
      slow = answer;
      started.set_value();
    } else {
      answer->after(100, [answer] { answer->send(200, {}, "in time"); });
      started.set_value();
    }
  });
  CurlTransport curl;
  auto quick = std::async(std::launch::async, [&] { return fetch(curl, get(*server, "/quick")); });
  started.get_future().get();
  started = {};
  server->stop(20'000);
  const auto response = quick.get();
  ASSERT_TRUE(response.ok()) << response.error().message;
  EXPECT_EQ(response->body, "in time");
  EXPECT_FALSE(fetch(curl, get(*server, "/quick")).ok());  // takes no more

  server = serve([&](ServerRequest, std::shared_ptr<Responder> answer) {
    slow = answer;
    answer->after(3'600'000, [answer] { answer->send(200, {}, "never"); });
    started.set_value();
  });
  auto cut = std::async(std::launch::async, [&] { return fetch(curl, get(*server, "/slow")); });
  started.get_future().get();
  server->stop(10);
  EXPECT_FALSE(cut.get().ok());
  EXPECT_TRUE(slow->gone().requested());
  server.reset();
  slow->write("after the server's end");
  slow->finish();
  slow.reset();
}

TEST(Server, AddressErrorsAreClear) {
  auto server = serve(echo);
  ServerOptions options;
  options.port = server->port();
  const auto taken = HttpServer::start(options, echo);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, Code::Io);
  EXPECT_THAT(taken.error().message, HasSubstr(fmt::format("127.0.0.1:{}", server->port())));
  EXPECT_THAT(taken.error().message, HasSubstr("in use"));
  options.host = "192.0.2.1";  // TEST-NET-1: no machine's own
  EXPECT_THAT(HttpServer::start(options, echo).error().message, HasSubstr("no such address"));
  options.port = 70000;
  EXPECT_EQ(HttpServer::start(options, echo).error().code, Code::Invalid);
}

// --- the client against faults ---

TEST(Curl, Faults) {
  auto server = serve([](ServerRequest request, std::shared_ptr<Responder> answer) {
    if (request.path == "/cut-nothing") return answer->cut();
    if (request.path == "/cut-body") {
      answer->begin(200, {});
      answer->write("0123456789");
      return answer->after(30, [answer] { answer->cut(); });
    }
    if (request.path == "/huge") {
      answer->begin(200, {});
      for (int i = 0; i < 40; ++i) answer->write(std::string(100'000, 'x'));
      return answer->finish();
    }
    if (request.path == "/busy") return answer->send(429, {{"Retry-After", "7"}}, "slow down");
    if (request.path == "/moved") return answer->send(302, {{"Location", "/busy"}}, "");
    if (request.path == "/silent") return answer->after(3'600'000, [answer] {});
    if (request.path == "/key") return answer->send(200, {}, std::string(request.header("authorization")));
    answer->send(404, {}, "");
  });
  CurlTransport curl;
  for (const char* path : {"/cut-nothing", "/cut-body"}) {
    const auto r = fetch(curl, get(*server, path));
    ASSERT_FALSE(r.ok()) << path;
    EXPECT_EQ(r.error().code, Code::Unavailable);
    EXPECT_THAT(r.error().message,
                HasSubstr(std::string(path) == "/cut-body" ? "cut after 10 bytes" : "cut after 0 bytes"));
  }
  HttpRequest huge = get(*server, "/huge");
  huge.max_body_bytes = 1'000'000;
  EXPECT_EQ(fetch(curl, huge).error().code, Code::Limit);
  huge.max_body_bytes = 4'000'000;
  EXPECT_EQ(fetch(curl, huge)->body.size(), 4'000'000u);
  const auto busy = fetch(curl, get(*server, "/busy"));
  EXPECT_EQ(busy->status, 429);
  EXPECT_EQ(busy->body, "slow down");
  EXPECT_EQ(retry_after_ms(*busy, 0), 7000);
  EXPECT_EQ(fetch(curl, get(*server, "/moved"))->status, 302);
  HttpRequest silent = get(*server, "/silent");
  silent.idle_timeout_ms = 100;
  const auto idle = fetch(curl, silent);
  EXPECT_EQ(idle.error().code, Code::Unavailable);
  EXPECT_THAT(idle.error().message, HasSubstr("sent nothing for"));
  silent = get(*server, "/silent");
  silent.timeout_ms = 100;
  EXPECT_THAT(fetch(curl, silent).error().message, HasSubstr("timed out"));
  HttpRequest key = get(*server, "/key");
  key.bearer = Secret("sk-123");
  EXPECT_EQ(fetch(curl, key)->body, "Bearer sk-123");
  key.bearer = Secret("sk-123\r\nX: y");
  const auto injected = fetch(curl, key);
  EXPECT_EQ(injected.error().code, Code::Invalid);
  EXPECT_EQ(injected.error().message.find("sk-123"), std::string::npos);
}

TEST(Curl, NoConnectionAndBadUrls) {
  int port = 0;
  {
    port = serve(echo)->port();
  }
  CurlTransport curl;
  HttpRequest request;
  request.url = fmt::format("http://127.0.0.1:{}/x", port);
  const auto none = fetch(curl, request);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::Unavailable);
  EXPECT_FALSE(none.error().maybe_charged);
  EXPECT_THAT(none.error().message, HasSubstr(request.url));
  request.url = "file:///etc/passwd";
  EXPECT_EQ(fetch(curl, request).error().code, Code::Invalid);
  request.url = "nothing";
  EXPECT_EQ(fetch(curl, request).error().code, Code::Invalid);
}

TEST(Curl, CancelAndDestructionEndEachExchangeOnce) {
  auto server = serve([](ServerRequest, std::shared_ptr<Responder> answer) { answer->after(3'600'000, [answer] {}); });
  auto curl = std::make_unique<CurlTransport>();
  Cancel cancel;
  std::atomic<int> cancelled{0};
  const auto count = [&](Result<HttpResponse> r) {
    if (!r.ok() && r.error().code == Code::Cancelled) ++cancelled;
  };
  for (int i = 0; i < 10; ++i) curl->send(get(*server, "/"), {}, count, cancel);
  cancel.request();
  EXPECT_TRUE(eventually([&] { return cancelled == 10; }));
  for (int i = 0; i < 10; ++i) curl->send(get(*server, "/"), {}, count, {});
  curl.reset();
  EXPECT_EQ(cancelled, 20);
}

TEST(Curl, ManyAtOnce) {
  std::atomic<int> now{0}, most{0};
  auto server = serve([&](ServerRequest request, std::shared_ptr<Responder> answer) {
    const int n = ++now;
    int before = most;
    while (n > before && !most.compare_exchange_weak(before, n)) {
    }
    answer->after(50, [&now, answer, body = request.body] {
      --now;
      answer->send(200, {}, body);
    });
  });
  CurlTransport curl;
  std::atomic<int> right{0};
  for (int i = 0; i < 200; ++i) {
    HttpRequest request = get(*server, "/");
    request.method = "POST";
    request.body = std::to_string(i);
    curl.send(request, {},
              [&, i](Result<HttpResponse> r) { right += r.ok() && r->body == std::to_string(i) ? 1 : 1000; }, {});
  }
  EXPECT_TRUE(eventually([&] { return right >= 200; }));
  EXPECT_EQ(right, 200);
  EXPECT_GT(most, 8);  // they do run at once
}

TEST(Fake, PlaysItsScript) {
  FakeTransport fake(
      [](const HttpRequest& request, int64_t number) {
        FakeExchange x;
        x.status = number == 0 ? 200 : 500;
        x.chunks = {"ab", request.body};
        x.delay_steps = 2;
        if (number == 2) x.fail = fake_cut(4);
        return x;
      },
      FakeTransport::Clock::Manual);
  std::string seen;
  std::vector<Result<HttpResponse>> done;
  for (int i = 0; i < 3; ++i) {
    HttpRequest request;
    request.body = "cd";
    fake.send(
        request, [&](std::string_view chunk) { return seen += chunk, true; },
        [&](Result<HttpResponse> r) { done.push_back(std::move(r)); }, {});
  }
  EXPECT_TRUE(fake.step() && fake.step());
  EXPECT_EQ(seen, "");
  EXPECT_EQ(fake.in_flight(), 3);
  fake.run();
  ASSERT_EQ(done.size(), 3u);
  EXPECT_EQ(done[0]->body, "abcd");
  EXPECT_EQ(seen, "abcd");  // of the 2xx only
  EXPECT_EQ(done[1]->status, 500);
  EXPECT_EQ(done[2].error().code, Code::Unavailable);
  EXPECT_EQ(fake.max_in_flight(), 3);
  FakeTransport threaded([](const HttpRequest&, int64_t) { return FakeExchange{200, {}, {"x"}}; });
  EXPECT_EQ(fetch(threaded, {})->body, "x");
}

}  // namespace
}  // namespace retort::net
