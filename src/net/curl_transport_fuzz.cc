// Raw bytes as an HTTP response to our client: it ends once, within its bounds, with a response or a refusal, and the
// pieces that were shown add up to the body.
#include "net/curl_transport.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "base/fuzz/target.h"
#include "base/text.h"

namespace {

using namespace retort;

constexpr int64_t kMostBytes = 2000;

// A server that answers every request with the same bytes and closes.
class RawServer {
 public:
  RawServer() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    RETORT_CHECK(::bind(fd_, reinterpret_cast<sockaddr*>(&address), length) == 0 && ::listen(fd_, 16) == 0);
    RETORT_CHECK(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(address.sin_port);
    std::thread([this] { run(); }).detach();
  }
  int port() const { return port_; }
  void answer_with(std::string_view bytes) { bytes_ = bytes; }  // between requests only

 private:
  void run() const {
    for (;;) {
      const int fd = ::accept(fd_, nullptr, nullptr);
      if (fd < 0) return;
      std::string request;
      char buffer[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const auto n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        request.append(buffer, static_cast<size_t>(n));
      }
      (void)!::send(fd, bytes_.data(), bytes_.size(), MSG_NOSIGNAL);
      ::close(fd);
    }
  }
  int fd_, port_ = 0;
  std::string bytes_;
};

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n0\r\n\r\n",
      "HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 2\r\nX-A:\r\nx-a: b \r\n\r\n{}",
      "HTTP/1.0 200\r\n\r\nuntil it closes",
      "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1F\x8B",
      "HTTP/1.1 204 No\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\r\n" + std::string(kMostBytes + 1, 'x'),
      "HTTP/2 200\r\n\r\n",
      "SSH-2.0-x\r\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static RawServer& server = *new RawServer;  // its thread runs to the end of the process
  static net::CurlTransport client;
  server.answer_with(fuzz::text_of(data, size));
  net::HttpRequest request;
  request.url = "http://127.0.0.1:" + std::to_string(server.port()) + "/v1";
  request.max_body_bytes = kMostBytes;
  std::string shown;
  std::promise<Result<net::HttpResponse>> promise;  // a second set_value() would throw
  client.send(
      std::move(request), [&](std::string_view bytes) { return shown += bytes, true; },
      [&](Result<net::HttpResponse> response) { promise.set_value(std::move(response)); }, {});
  const auto response = promise.get_future().get();
  RETORT_CHECK(static_cast<int64_t>(shown.size()) <= kMostBytes);
  if (!response.ok()) {
    fuzz::check_refusal(response.error());
    return 0;
  }
  RETORT_CHECK(static_cast<int64_t>(response->body.size()) <= kMostBytes);
  if (response->status >= 200 && response->status < 300) RETORT_CHECK(shown == response->body);
  for (const auto& [name, value] : response->headers) RETORT_CHECK(name == lower_ascii(name));
  return 0;
}
