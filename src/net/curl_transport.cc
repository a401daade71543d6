#include "net/curl_transport.h"

#include <chrono>
#include <csignal>
#include <list>
#include <mutex>
#include <thread>

#include <curl/curl.h>

#include "base/text.h"
#include "net/url.h"

namespace retort::net {
namespace {

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// After the reader has enough: a server that means to keep the connection ends its body by then.
constexpr int64_t kLingerMs = 1000;

// One request on its way. Touched by the transport's thread only, once queued.
struct Exchange {
  HttpRequest request;
  std::function<bool(std::string_view)> on_chunk;
  std::function<void(Result<HttpResponse>)> on_done;
  Cancel cancel;
  bool stopped() const { return cancel.requested() || request.owner.requested(); }
  std::string shown_url;
  HttpResponse response;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  char error[CURL_ERROR_SIZE] = "";
  int64_t started_ms = 0, last_byte_ms = 0;
  bool too_large = false;
  bool enough = false;          // on_chunk wants no more
  int64_t linger_until_ms = 0;  // on_done was called: how long the rest may take for the connection to be kept

  ~Exchange() {
    if (easy != nullptr) curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
};

size_t on_header(char* data, size_t, size_t bytes, void* self) {
  auto& x = *static_cast<Exchange*>(self);
  x.last_byte_ms = now_ms();
  const std::string_view line = trim({data, bytes});
  if (line.substr(0, 5) == "HTTP/") {  // 100 Continue, then the real one: the last counts
    x.response.headers.clear();
    return bytes;
  }
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos && colon > 0)
    x.response.headers.emplace_back(lower_ascii(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  return bytes;
}

size_t on_body(char* data, size_t, size_t bytes, void* self) {
  auto& x = *static_cast<Exchange*>(self);
  x.last_byte_ms = now_ms();
  if (x.enough) return bytes;
  if (static_cast<int64_t>(x.response.body.size() + bytes) > x.request.max_body_bytes) {
    x.too_large = true;
    return 0;
  }
  x.response.body.append(data, bytes);
  if (x.on_chunk) {
    long status = 0;
    curl_easy_getinfo(x.easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) x.enough = !x.on_chunk({data, bytes});
  }
  return bytes;
}

bool has_line_break(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

Status prepare(Exchange& x, const CurlOptions& options) {
  auto url = parse_url(x.request.url);
  if (!url.ok()) return std::move(url).error();
  x.shown_url = public_url(*url);
  for (const auto& [name, value] : x.request.headers) {
    if (name.empty() || has_line_break(name) || has_line_break(value))
      return fail(Code::Invalid, "header `{}` for {} holds a line break; remove it", to_utf8(name), x.shown_url);
    x.headers = curl_slist_append(x.headers, (name + (value.empty() ? ";" : ": " + value)).c_str());
  }
  SecretHeaders secrets = x.request.secret_headers;
  if (!x.request.bearer.empty()) secrets.emplace_back("Authorization", Secret("Bearer " + x.request.bearer.reveal()));
  for (const auto& [name, value] : secrets) {
    if (name.empty() || has_line_break(name) || has_line_break(value.reveal()))
      return fail(Code::Invalid, "the key for {} (header `{}`) holds a line break; remove it where the key is stored",
                  x.shown_url, to_utf8(name));
    x.headers = curl_slist_append(x.headers, (name + ": " + value.reveal()).c_str());
  }
  x.headers = curl_slist_append(x.headers, "Expect:");  // no pause before large bodies
  x.easy = curl_easy_init();
  if (x.easy == nullptr) return fail(Code::Internal, "libcurl could not make a handle");
  CURL* e = x.easy;
  curl_easy_setopt(e, CURLOPT_URL, x.request.url.c_str());
  curl_easy_setopt(e, CURLOPT_PRIVATE, &x);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, x.headers);
  if (x.request.method == "POST" || !x.request.body.empty()) {
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, x.request.body.c_str());
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(x.request.body.size()));
  }
  if (x.request.method == "HEAD")
    curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  else if (x.request.method != "GET" && x.request.method != "POST")
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, x.request.method.c_str());
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, &x);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, &x);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x.error);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(x.request.connect_timeout_ms));
  curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, static_cast<long>(x.request.timeout_ms));
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(e, CURLOPT_USERAGENT, "retort");
  if (!options.ca_file.empty()) curl_easy_setopt(e, CURLOPT_CAINFO, options.ca_file.c_str());
  x.started_ms = x.last_byte_ms = now_ms();
  return {};
}

// True once the request began to leave: from there on the peer may have done the work.
bool was_sent(const Exchange& x) {
  curl_off_t ready_us = 0;
  curl_easy_getinfo(x.easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
  return ready_us > 0;
}

Error to_error(CURLcode code, const Exchange& x) {
  const char* words = x.error[0] != 0 ? x.error : curl_easy_strerror(code);
  const size_t got = x.response.body.size();
  if (x.too_large)
    return fail(Code::Limit, "the response of {} is larger than {} bytes; raise max_body_bytes if that is expected",
                x.shown_url, x.request.max_body_bytes);
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return fail(Code::Invalid, "{}: {}", x.shown_url, words);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fail(Code::Invalid, "{}: {}; check the host name, the machine's clock and its certificate authorities",
                  x.shown_url, words);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fail(Code::Unavailable, "{}: {}; check the name and the network", x.shown_url, words);
    case CURLE_COULDNT_CONNECT:
      return fail(Code::Unavailable, "cannot connect to {}: {}; is the server running?", x.shown_url, words);
    case CURLE_OPERATION_TIMEDOUT:
      return fail(Code::Unavailable, "{} timed out after {} ms with {} bytes received: {}", x.shown_url,
                  now_ms() - x.started_ms, got, words);
    default: return fail(Code::Unavailable, "{}: the response was cut after {} bytes: {}", x.shown_url, got, words);
  }
}

}  // namespace

struct CurlTransport::State {
  CurlOptions options;
  CURLM* multi = nullptr;
  std::mutex mutex;
  std::list<std::unique_ptr<Exchange>> queued;  // guarded by mutex
  bool stop = false;                            // guarded by mutex
  std::list<std::unique_ptr<Exchange>> active;  // the thread's
  std::thread thread;

  // Takes `x` off the active list and reports, unless that was done when the reader had enough.
  void end(Exchange* x, Result<HttpResponse> result) {
    std::unique_ptr<Exchange> owned;
    for (auto it = active.begin(); it != active.end(); ++it) {
      if (it->get() != x) continue;
      owned = std::move(*it);
      active.erase(it);
      break;
    }
    if (!result.ok()) {
      Error error = std::move(result).error();
      error.maybe_charged = was_sent(*owned);
      result = std::move(error);
    }
    curl_multi_remove_handle(multi, owned->easy);
    if (owned->on_done) owned->on_done(std::move(result));
  }

  // The reader has enough: it gets its response now, whenever the server ends the body.
  static void finish_early(Exchange& x) {
    long status = 0;
    curl_easy_getinfo(x.easy, CURLINFO_RESPONSE_CODE, &status);
    x.response.status = static_cast<int>(status);
    x.linger_until_ms = now_ms() + kLingerMs;
    std::exchange(x.on_done, nullptr)(std::move(x.response));
  }

  void admit() {
    std::list<std::unique_ptr<Exchange>> taken;
    {
      const std::lock_guard lock(mutex);
      taken.swap(queued);
    }
    for (auto& x : taken) {
      Status ready =
          x->stopped() ? Status(fail(Code::Cancelled, "cancelled before it was sent")) : prepare(*x, options);
      if (!ready.ok()) {
        x->on_done(std::move(ready).error());
        continue;
      }
      curl_multi_add_handle(multi, x->easy);
      active.push_back(std::move(x));
    }
  }

  void reap() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Exchange* x = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
      const CURLcode code = message->data.result;
      if (code != CURLE_OK && !x->enough) {
        end(x, to_error(code, *x));
        continue;
      }
      long status = 0;
      curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
      x->response.status = static_cast<int>(status);
      end(x, std::move(x->response));
    }
  }

  // Ends what was cancelled or went silent. Returns milliseconds until the next look.
  int look_around() {
    const int64_t now = now_ms();
    for (auto it = active.begin(); it != active.end();) {
      Exchange* x = (it++)->get();  // end() erases only x's own node
      if (!x->on_done) {
        if (now > x->linger_until_ms) end(x, fail(Code::Cancelled, "no more is wanted"));
      } else if (x->enough) {
        finish_early(*x);
      } else if (x->stopped()) {
        end(x, fail(Code::Cancelled, "cancelled with {} bytes of {} received", x->response.body.size(), x->shown_url));
      } else if (now - x->last_byte_ms > x->request.idle_timeout_ms) {
        end(x, fail(Code::Unavailable, "{} sent nothing for {} ms after {} bytes", x->shown_url, now - x->last_byte_ms,
                    x->response.body.size()));
      }
    }
    return active.empty() ? 60'000 : 20;  // a Cancel cannot wake the poll, so it is looked at 50 times a second
  }

  void run() {
    // TLS writes to a closed connection would raise it.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    for (;;) {
      {
        const std::lock_guard lock(mutex);
        if (stop) break;
      }
      admit();
      int running = 0;
      curl_multi_perform(multi, &running);
      reap();
      const int wait_ms = look_around();
      curl_multi_poll(multi, nullptr, 0, wait_ms, nullptr);
    }
    while (!active.empty()) end(active.front().get(), fail(Code::Cancelled, "the transport was closed"));
    const std::lock_guard lock(mutex);
    for (auto& x : queued) x->on_done(fail(Code::Cancelled, "the transport was closed"));
    queued.clear();
  }
};

CurlTransport::CurlTransport(CurlOptions options) : state_(std::make_unique<State>()) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  state_->options = std::move(options);
  state_->multi = curl_multi_init();
  curl_multi_setopt(state_->multi, CURLMOPT_MAXCONNECTS, static_cast<long>(state_->options.kept_connections));
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

CurlTransport::~CurlTransport() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  curl_multi_wakeup(state_->multi);
  state_->thread.join();
  curl_multi_cleanup(state_->multi);
}

void CurlTransport::send(HttpRequest request, std::function<bool(std::string_view)> on_chunk,
                         std::function<void(Result<HttpResponse>)> on_done, Cancel cancel) {
  auto x = std::make_unique<Exchange>();
  x->request = std::move(request);
  x->on_chunk = std::move(on_chunk);
  x->on_done = std::move(on_done);
  x->cancel = std::move(cancel);
  {
    const std::lock_guard lock(state_->mutex);
    state_->queued.push_back(std::move(x));
  }
  curl_multi_wakeup(state_->multi);
}

}  // namespace retort::net
