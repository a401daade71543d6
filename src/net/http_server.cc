#include "net/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_set>
#include <vector>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/log.h"
#include "base/text.h"
#include "net/http_text.h"
#include "net/url.h"

namespace retort::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A client that reads slower than the answer is made may hold this much of it in memory before it is cut off.
constexpr size_t kMaxUnsentBytes = 64u << 20;
// After a refusal the rest of the request is read over for a while, so that closing does not destroy the answer on its
// way (a close with unread input sends a reset).
constexpr auto kLingerTime = std::chrono::seconds(2);
// What may come behind a request while it is answered. It is taken in, because only behind it is the connection's end.
constexpr size_t kMaxAheadBytes = 256u << 10;
// An HTTP/1.0 client that ended its sending has this long until it counts as gone: it cannot be asked.
constexpr int64_t kSilentHalfCloseMs = 1000;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// Bytes of bodies in memory, counted by connection and request.
struct Lease {
  explicit Lease(std::shared_ptr<std::atomic<int64_t>> sum) : total(std::move(sum)) {}
  ~Lease() { *total -= held; }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  int64_t grow_to(int64_t bytes) {
    const int64_t more = bytes - held;
    held = bytes;
    return *total += more;
  }
  std::shared_ptr<std::atomic<int64_t>> total;
  int64_t held = 0;
};

}  // namespace

std::string_view ServerRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

class Connection;

// What threads share. The io_context's queue holds connections, and answers in other threads' hands hold this state, so
// nothing queued may own the state: it ends, and its queue with it, when the last answer is dropped.
struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  ServerOptions options;
  Handler handler;
  OnHead on_head;
  std::shared_ptr<std::atomic<int64_t>> buffered = std::make_shared<std::atomic<int64_t>>(0);
  asio::io_context io;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::strand<asio::io_context::executor_type> timer_strand = asio::make_strand(io);
  std::set<std::shared_ptr<asio::steady_timer>> timers;  // timer_strand's
  bool timers_closed = false;                            // timer_strand's
  std::vector<std::thread> threads;
  int port = 0;
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_set<std::shared_ptr<Connection>> connections;  // guarded by mutex
  int responding = 0;                                           // guarded by mutex: requests in a handler's hands
  bool stopped = false;                                         // guarded by mutex

  void accept();
  std::shared_ptr<Connection> longest_idle();  // mutex is held
  void keep(const std::shared_ptr<Connection>& connection);
  void after(int64_t delay_ms, std::function<void()> then);
  void remove(const std::shared_ptr<Connection>& connection);
  void count_responding(int by) {
    const std::lock_guard lock(mutex);
    responding += by;
    changed.notify_all();
  }
};

// One client. Everything but the constructor runs on its strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpServer::State& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    boost::system::error_code ec;
    const auto peer = stream_.socket().remote_endpoint(ec);
    if (!ec) remote_ = fmt::format("{}:{}", peer.address().to_string(), peer.port());
    stream_.socket().set_option(tcp::no_delay(true), ec);
    wait_for(false);
  }

  auto executor() { return stream_.get_executor(); }

  // Who gives way first where places are short (any thread): those who wait for a request before those who send one,
  // the longest first. 0: not at all, an answer is under way.
  int64_t rank() const { return rank_; }

  // Closes a connection whose place was given away, unless a request came meanwhile: then it stays, one too many.
  void evict() {
    if (closed_) return;
    if (rank_ != 0 || server_.stopping) return lost();
    server_.keep(shared_from_this());
  }

  void read_request() {
    if (server_.stopping) return close();
    wait_for(false);
    head_only_ = false;
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(server_.options.max_header_bytes));
    parser_->body_limit(static_cast<uint64_t>(server_.options.max_body_bytes));
    stream_.expires_after(milliseconds(server_.options.idle_timeout_ms));
    http::async_read_header(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code ec, size_t) {
      if (self->closed_) return;
      if (ec) return self->refuse(ec);
      self->take_head();
    });
  }

  // Answers without having read a request.
  void turn_away(int status, const std::string& type, const std::string& message, Headers headers = {}) {
    headers.emplace_back("Content-Type", "application/json");
    answer_unread(status, std::move(headers), error_json(type, message), false);
  }

  void respond(uint64_t number, int status, Headers headers, std::string body) {
    if (number != number_ || !responding_ || begun_) return;
    begun_ = true;
    const bool no_body = status < 200 || status == 204 || status == 304;
    std::string out = head(status, headers);
    if (!no_body) out += fmt::format("Content-Length: {}\r\n", body.size());
    out += "\r\n";
    if (!no_body && !head_only_) out += body;
    push(std::move(out));
    end(keep_alive_ ? End::KeepAlive : End::Close);
  }

  void begin(uint64_t number, int status, Headers headers) {
    if (number != number_ || !responding_ || begun_) return;
    begun_ = true;
    chunked_ = version_ >= 11;
    if (!chunked_) keep_alive_ = false;
    push(head(status, headers) + (chunked_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n"));
  }

  void write(uint64_t number, std::string bytes) {
    if (number != number_ || !responding_ || !begun_ || end_ != End::None || bytes.empty() || head_only_) return;
    if (unsent_ + bytes.size() > kMaxUnsentBytes) return lost();
    push(chunked_ ? fmt::format("{:x}\r\n", bytes.size()) + bytes + "\r\n" : std::move(bytes));
  }

  void finish(uint64_t number) {
    if (number != number_ || !responding_ || !begun_ || end_ != End::None) return;
    if (chunked_ && !head_only_) push("0\r\n\r\n");
    end(keep_alive_ ? End::KeepAlive : End::Close);
  }

  void cut(uint64_t number) {
    if (number != number_ || !responding_ || end_ != End::None) return;
    end(End::Cut);
  }

  // The answer was dropped without an end.
  void abandoned(uint64_t number) {
    if (number != number_ || !responding_ || end_ != End::None) return;
    if (begun_) return end(End::Cut);
    respond(number, 500, {{"Content-Type", "application/json"}},
            error_json("server_error", "the server gave no answer to this request"));
  }

  // The server stops: at once, or once the running response has ended.
  void shut(bool now) {
    keep_alive_ = false;
    if (end_ == End::KeepAlive) end_ = End::Close;
    if (now || !responding_) lost();
  }

 private:
  enum class End { None, KeepAlive, Close, Cut };

  void wait_for(bool body) {
    constexpr int64_t kBody = int64_t{1} << 62;
    rank_ = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count() +
            (body ? kBody : 0);
  }

  void answer_unread(int status, Headers headers, std::string body, bool keep_alive) {
    begin_exchange(false);
    keep_alive_ = keep_alive;
    parser_.reset();
    lease_.reset();
    respond(number_, status, std::move(headers), std::move(body));
  }

  void begin_exchange(bool counted) {
    ++number_;
    rank_ = 0;
    responding_ = true;
    counted_ = counted;
    begun_ = chunked_ = false;
    end_ = End::None;
    gone_ = Cancel();
    if (counted) server_.count_responding(1);
  }

  void end_exchange() {
    responding_ = false;
    if (counted_) server_.count_responding(-1);
    counted_ = false;
  }

  std::string head(int status, const Headers& headers) {
    std::string out =
        fmt::format("HTTP/1.{} {} {}\r\nDate: {}\r\nServer: retort\r\nConnection: {}\r\n", version_ >= 11 ? 1 : 0,
                    status, reason_phrase(status), http_date(), keep_alive_ ? "keep-alive" : "close");
    for (const auto& [name, value] : headers) {
      if (!name.empty() && is_header_text(name) && is_header_text(value)) out += name + ": " + value + "\r\n";
    }
    return out;
  }

  void refuse(beast::error_code ec) {
    // Clients come and go: a close between requests, a reset or a time-out is not answered.
    if (ec == http::error::end_of_stream || ec == http::error::partial_message || ec == beast::error::timeout)
      return close();
    if (ec == http::error::header_limit)
      return turn_away(431, "invalid_request_error",
                       fmt::format("the request's headers are larger than {} bytes", server_.options.max_header_bytes));
    if (ec == http::error::body_limit)
      return turn_away(413, "invalid_request_error",
                       fmt::format("the request's body is larger than {} bytes", server_.options.max_body_bytes));
    if (ec.category() == http::make_error_code(http::error::bad_method).category())
      return turn_away(400, "invalid_request_error", "malformed HTTP request: " + ec.message());
    close();
  }

  // The head is there: is it one request, and one that is wanted?
  void take_head() {
    const auto& message = parser_->get();
    version_ = static_cast<int>(message.version());
    head_only_ = message.method() == http::verb::head;
    request_ = ServerRequest();
    request_.method = std::string(std::string_view(message.method_string()));
    request_.target = std::string(std::string_view(message.target()));
    const size_t question = request_.target.find('?');
    request_.path = percent_decode(std::string_view(request_.target).substr(0, question));
    if (question != std::string::npos) request_.query = request_.target.substr(question + 1);
    for (const auto& field : message)
      request_.headers.emplace_back(lower_ascii(std::string_view(field.name_string())),
                                    std::string(std::string_view(field.value())));
    request_.remote = remote_;
    if (const std::string_view fault = ambiguity(request_.headers, version_); !fault.empty())
      return turn_away(400, "invalid_request_error", fmt::format("malformed HTTP request: {}", fault));
    if (server_.on_head && !admit()) return;
    lease_ = std::make_shared<Lease>(server_.buffered);
    read_body();
  }

  bool admit() {
    Admission admission;
    try {
      admission = server_.on_head(request_);
    } catch (const std::exception& e) {
      turn_away(500, "server_error", std::string("a defect in retort's server: ") + e.what());
      return false;
    }
    if (admission.status != 0) {
      const bool whole = parser_->is_done();  // no body: the connection is in step
      answer_unread(admission.status, std::move(admission.headers), std::move(admission.body),
                    whole && parser_->get().keep_alive() && !server_.stopping);
      return false;
    }
    if (admission.max_body_bytes < 0) return true;
    const auto limit = static_cast<uint64_t>(admission.max_body_bytes);
    parser_->body_limit(limit);
    if (const auto length = parser_->content_length(); !length || *length <= limit) return true;
    turn_away(413, "invalid_request_error", fmt::format("the request's body is larger than {} bytes", limit));
    return false;
  }

  void read_body() {
    wait_for(true);
    stream_.expires_after(milliseconds(server_.options.idle_timeout_ms));
    parser_->eager(true);
    if (version_ >= 11 && lower_ascii(request_.header("expect")) == "100-continue") {
      asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                        [self = shared_from_this()](beast::error_code ec, size_t) {
                          if (ec) return self->close();
                          self->read_rest();
                        });
      return;
    }
    read_rest();
  }

  void read_rest() {
    if (parser_->is_done()) return handle();
    http::async_read_some(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code ec, size_t) {
      if (self->closed_) return;
      if (ec) return self->refuse(ec);
      const auto held = static_cast<int64_t>(self->parser_->get().body().size());
      if (self->lease_->grow_to(held) > self->server_.options.max_buffered_bytes)
        return self->turn_away(
            503, "overloaded_error",
            fmt::format("the requests in this server's hands have more than {} bytes; try again soon",
                        self->server_.options.max_buffered_bytes),
            {{"Retry-After", "1"}});
      self->read_rest();
    });
  }

  void handle();

  // While a response is made, sees the client leave: takes in what comes, to see the end behind it.
  void watch() {
    if (watching_) return;
    watching_ = true;
    stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this()](beast::error_code ec) {
      self->watching_ = false;
      if (ec || self->closed_ || !self->responding_) return;
      self->take_ahead();
    });
  }

  void take_ahead() {
    for (;;) {
      const size_t room = kMaxAheadBytes - std::min(kMaxAheadBytes, buffer_.size());
      if (room == 0) return lost();
      const auto space = buffer_.prepare(std::min<size_t>(room, 16u << 10));
      const auto n = ::recv(stream_.socket().native_handle(), space.data(), space.size(), MSG_DONTWAIT);
      if (n > 0) {
        buffer_.commit(static_cast<size_t>(n));
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return watch();
      return n == 0 ? half_closed() : lost();
    }
  }

  // The client sends no more. One that still reads takes a byte; one that is gone resets the connection over it.
  void half_closed() {
    input_ended_ = true;
    if (begun_) return;  // the answer's own bytes ask
    if (version_ < 11) {
      return server_.after(kSilentHalfCloseMs, [self = shared_from_this(), number = number_] {
        asio::post(self->executor(), [self, number] {
          if (self->number_ == number && self->responding_ && !self->begun_) self->lost();
        });
      });
    }
    stream_.socket().async_wait(tcp::socket::wait_error, [self = shared_from_this()](beast::error_code ec) {
      if (!ec && !self->closed_ && self->responding_) self->lost();
    });
    push(std::string(kContinue));
  }

  void push(std::string bytes) {
    unsent_ += bytes.size();
    out_.push_back(std::move(bytes));
    flush();
  }

  void end(End how) {
    end_ = how;
    flush();
  }

  void flush() {
    if (writing_) return;
    if (out_.empty()) return ended();
    writing_ = true;
    // In pieces, so that the time-out means "no progress" however long the body is.
    const std::string_view piece = std::string_view(out_.front()).substr(sent_, 256u << 10);
    stream_.expires_after(milliseconds(server_.options.write_timeout_ms));
    stream_.async_write_some(asio::buffer(piece.data(), piece.size()),
                             [self = shared_from_this()](beast::error_code ec, size_t n) {
                               self->writing_ = false;
                               if (self->closed_) return;
                               if (ec) return self->lost();
                               self->stream_.expires_never();
                               self->sent_ += n;
                               self->unsent_ -= n;
                               if (self->sent_ == self->out_.front().size()) {
                                 self->out_.pop_front();
                                 self->sent_ = 0;
                               }
                               self->flush();
                             });
  }

  void ended() {
    switch (end_) {
      case End::None: return;
      case End::KeepAlive:
        end_ = End::None;
        end_exchange();
        return read_request();
      case End::Close:
        end_ = End::None;
        end_exchange();
        return linger();
      case End::Cut: {
        end_ = End::None;
        if (!begun_) {
          boost::system::error_code ignored;
          stream_.socket().set_option(asio::socket_base::linger(true, 0), ignored);
        }
        return lost();
      }
    }
  }

  void linger() {
    boost::system::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (ignored) return close();
    stream_.expires_after(kLingerTime);
    read_over();
  }

  void read_over() {
    waste_.resize(64u << 10);
    stream_.async_read_some(asio::buffer(waste_), [self = shared_from_this()](beast::error_code ec, size_t) {
      if (ec) return self->close();
      self->read_over();
    });
  }

  // The client is gone, or is to go.
  void lost() {
    const bool was = responding_;
    gone_.request();
    if (was) end_exchange();
    close();
  }

  void close() {
    if (closed_) return;
    closed_ = true;  // what completes after this is ignored; out_ stays, as the system may still read from it
    boost::system::error_code ignored;
    stream_.socket().close(ignored);
    stream_.close();
    lease_.reset();
    server_.remove(shared_from_this());
  }

  HttpServer::State& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::shared_ptr<Lease> lease_;  // of the body that is being read
  ServerRequest request_;         // whose body is being read
  std::string remote_;
  std::atomic<int64_t> rank_{0};
  uint64_t number_ = 0;  // of the request in hand; answers to earlier ones are ignored
  int version_ = 11;
  bool keep_alive_ = true, responding_ = false, counted_ = false, begun_ = false, chunked_ = false, head_only_ = false;
  bool watching_ = false, input_ended_ = false, writing_ = false, closed_ = false;
  End end_ = End::None;
  Cancel gone_;
  std::deque<std::string> out_;
  size_t sent_ = 0, unsent_ = 0;
  std::vector<char> waste_;
};

namespace {

class Answer final : public Responder {
 public:
  Answer(std::shared_ptr<HttpServer::State> server, std::shared_ptr<Connection> connection, uint64_t number,
         Cancel gone)
      : server_(std::move(server)), connection_(std::move(connection)), number_(number), gone_(std::move(gone)) {}

  ~Answer() override {
    if (ended_) return;
    asio::post(connection_->executor(), [c = connection_, n = number_] { c->abandoned(n); });
  }
  void send(int status, Headers headers, std::string body) override {
    if (begun_.exchange(true)) return;
    ended_ = true;
    asio::post(connection_->executor(),
               [c = connection_, n = number_, status, headers = std::move(headers), body = std::move(body)]() mutable {
                 c->respond(n, status, std::move(headers), std::move(body));
               });
  }
  void begin(int status, Headers headers) override {
    if (begun_.exchange(true)) return;
    asio::post(connection_->executor(), [c = connection_, n = number_, status, headers = std::move(headers)]() mutable {
      c->begin(n, status, std::move(headers));
    });
  }
  void write(std::string bytes) override {
    asio::post(connection_->executor(),
               [c = connection_, n = number_, bytes = std::move(bytes)]() mutable { c->write(n, std::move(bytes)); });
  }
  void finish() override {
    if (ended_.exchange(true)) return;
    asio::post(connection_->executor(), [c = connection_, n = number_] { c->finish(n); });
  }
  void cut() override {
    if (ended_.exchange(true)) return;
    asio::post(connection_->executor(), [c = connection_, n = number_] { c->cut(n); });
  }
  void after(int64_t delay_ms, std::function<void()> then) override { server_->after(delay_ms, std::move(then)); }
  const Cancel& gone() const override { return gone_; }

 private:
  std::shared_ptr<HttpServer::State> server_;  // declared first: outlives the connection
  std::shared_ptr<Connection> connection_;
  uint64_t number_;
  Cancel gone_;
  std::atomic<bool> begun_{false}, ended_{false};
};

}  // namespace

void Connection::handle() {
  auto message = parser_->release();
  parser_.reset();
  begin_exchange(true);
  keep_alive_ = message.keep_alive() && !server_.stopping;
  ServerRequest request = std::move(request_);
  request.body = std::move(message.body());
  request.lease = std::move(lease_);
  stream_.expires_never();
  if (input_ended_)
    half_closed();
  else
    watch();
  auto answer = std::make_shared<Answer>(server_.shared_from_this(), shared_from_this(), number_, gone_);
  const std::string what = request.method + " " + request.path;
  std::string problem;
  try {
    server_.handler(std::move(request), answer);
    return;
  } catch (const std::exception& e) {
    problem = e.what();
  } catch (...) {
    problem = "unknown exception";
  }
  log::debug("{}: {}", to_utf8(what), problem);
  answer->send(500, {{"Content-Type", "application/json"}},
               error_json("server_error", "a defect in retort's server: " + problem));
  answer->cut();  // where a body had begun
}

void HttpServer::State::remove(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex);
  connections.erase(connection);
  changed.notify_all();
}

void HttpServer::State::keep(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex);
  connections.insert(connection);
}

// The connection that waited longest for a request, or else for a body: null where all are being answered.
std::shared_ptr<Connection> HttpServer::State::longest_idle() {
  std::shared_ptr<Connection> found;
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& connection : connections) {
    const int64_t rank = connection->rank();
    if (rank == 0 || rank >= least) continue;
    found = connection;
    least = rank;
  }
  return found;
}

void HttpServer::State::accept() {
  acceptor.async_accept(asio::make_strand(io), [this](beast::error_code ec, tcp::socket socket) {
    if (stopping) return;
    if (ec == asio::error::operation_aborted || ec == asio::error::bad_descriptor) return;
    if (ec) {  // out of descriptors or memory: try again when some may be back
      auto timer = std::make_shared<asio::steady_timer>(acceptor.get_executor(), milliseconds(100));
      timer->async_wait([this, timer](beast::error_code) {
        if (!stopping) accept();
      });
      return;
    }
    size_t open = 0;
    auto connection = std::make_shared<Connection>(*this, std::move(socket));
    {
      const std::lock_guard lock(mutex);
      if (connections.size() >= static_cast<size_t>(options.max_connections)) {
        if (const auto idle = longest_idle()) {
          connections.erase(idle);
          asio::post(idle->executor(), [idle] { idle->evict(); });
        }
      }
      open = connections.size();
      if (open < 2 * static_cast<size_t>(options.max_connections)) connections.insert(connection);
    }
    if (open < static_cast<size_t>(options.max_connections)) {
      asio::post(connection->executor(), [connection] { connection->read_request(); });
    } else if (open < 2 * static_cast<size_t>(options.max_connections)) {
      asio::post(connection->executor(), [connection, limit = options.max_connections] {
        connection->turn_away(503, "overloaded_error",
                              fmt::format("this server has its {} connections in use; try again soon", limit),
                              {{"Retry-After", "1"}});
      });
    }
    accept();
  });
}

void HttpServer::State::after(int64_t delay_ms, std::function<void()> then) {
  asio::post(timer_strand, [this, delay_ms, then = std::move(then)]() mutable {
    if (timers_closed) return;
    auto timer = std::make_shared<asio::steady_timer>(io, milliseconds(std::max<int64_t>(0, delay_ms)));
    timers.insert(timer);
    timer->async_wait(asio::bind_executor(timer_strand, [this, timer, then = std::move(then)](beast::error_code ec) {
      timers.erase(timer);
      if (!ec && !timers_closed) asio::post(io, then);
    }));
  });
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const ServerOptions& options, Handler handler, OnHead on_head) {
  if (options.port < 0 || options.port > 65535)
    return fail(Code::Invalid, "port {} is not between 0 and 65535", options.port);
  if (options.threads < 1 || options.threads > 256)
    return fail(Code::Invalid, "threads is {}; give 1 to 256", options.threads);
  if (options.max_connections < 1 || options.max_header_bytes < 256 || options.max_header_bytes > (1 << 30) ||
      options.max_body_bytes < 1 || options.max_buffered_bytes < 1 || options.idle_timeout_ms < 1 ||
      options.write_timeout_ms < 1)
    return fail(Code::Invalid,
                "a limit of the server is too small: max_connections {}, max_header_bytes {} (at least 256), "
                "max_body_bytes {}, max_buffered_bytes {}, idle_timeout_ms {}, write_timeout_ms {}",
                options.max_connections, options.max_header_bytes, options.max_body_bytes, options.max_buffered_bytes,
                options.idle_timeout_ms, options.write_timeout_ms);
  auto state = std::make_shared<State>();
  state->options = options;
  state->handler = std::move(handler);
  state->on_head = std::move(on_head);
  boost::system::error_code ec;
  const std::string where = fmt::format("{}:{}", options.host, options.port);
  auto address = asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, ec);
  if (ec) {
    tcp::resolver resolver(state->io);
    const auto found = resolver.resolve(options.host, "", tcp::resolver::passive, ec);
    if (ec || found.empty())
      return fail(Code::Io,
                  "cannot listen on {}: no address is known for this host; give an IP address of this machine", where);
    address = found.begin()->endpoint().address();
  }
  const tcp::endpoint endpoint(address, static_cast<uint16_t>(options.port));
  auto& acceptor = state->acceptor;
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec == asio::error::address_in_use)
    return fail(Code::Io,
                "cannot listen on {}: the port is in use; end what uses it, or choose another port (0: a free one)",
                where);
  if (ec == asio::error::access_denied)
    return fail(Code::Io, "cannot listen on {}: not permitted; choose a port from 1024 up (0: a free one)", where);
  if (ec == boost::system::errc::address_not_available)
    return fail(Code::Io, "cannot listen on {}: this machine has no such address; give 127.0.0.1 or one of its own",
                where);
  if (ec) return fail(Code::Io, "cannot listen on {}: {}", where, ec.message());
  state->port = acceptor.local_endpoint(ec).port();
  state->work.emplace(state->io.get_executor());
  asio::post(acceptor.get_executor(), [state = state.get()] { state->accept(); });
  for (int i = 0; i < options.threads; ++i) {
    state->threads.emplace_back([state = state.get()] {
      for (;;) {
        try {
          state->io.run();
          return;
        } catch (const std::exception& e) {  // from a handler's timer: that one is lost, the server goes on
          log::debug("server thread: {}", e.what());
        }
      }
    });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::~HttpServer() { stop(0); }

int HttpServer::port() const { return state_->port; }

std::string HttpServer::url() const {
  const std::string& host = state_->options.host;
  return fmt::format("http://{}:{}", host.find(':') == std::string::npos ? host : "[" + host + "]", state_->port);
}

void HttpServer::stop(int64_t grace_ms) {
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    if (s.stopped) return;
    s.stopped = true;
  }
  s.stopping = true;
  asio::post(s.acceptor.get_executor(), [&s] {
    boost::system::error_code ignored;
    s.acceptor.close(ignored);
  });
  const auto each = [&s](bool now) {
    std::vector<std::shared_ptr<Connection>> all;
    {
      const std::lock_guard lock(s.mutex);
      all.assign(s.connections.begin(), s.connections.end());
    }
    for (auto& c : all) asio::post(c->executor(), [c, now] { c->shut(now); });
  };
  if (grace_ms > 0) {
    each(false);
    std::unique_lock lock(s.mutex);
    s.changed.wait_for(lock, milliseconds(grace_ms), [&s] { return s.responding == 0 && s.connections.empty(); });
  }
  asio::post(s.timer_strand, [&s] {
    s.timers_closed = true;
    for (const auto& timer : s.timers) timer->cancel();
  });
  // Connections that were being accepted meanwhile close themselves in read_request().
  each(true);
  s.work.reset();
  for (auto& thread : s.threads) thread.join();
  s.threads.clear();
  // Nothing runs any more; whatever still holds an answer finds it ended.
  s.handler = nullptr;
  s.on_head = nullptr;
}

}  // namespace retort::net
