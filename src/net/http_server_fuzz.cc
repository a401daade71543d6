// Raw bytes on a connection of the HTTP server, as any program may send them: every answer is HTTP, and the server goes
// on serving.
#include "net/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fuzz/target.h"

namespace {

using namespace retort;

// What the server answers to `bytes` and the end of sending.
std::string ask(int port, std::string_view bytes) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  RETORT_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) break;  // refused before its end
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  ::shutdown(fd, SHUT_WR);
  std::string got;
  char buffer[4096];
  for (;;) {
    const auto n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    got.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return got;
}

// Answers with what it was asked, whole or, at /stream, in pieces.
net::HttpServer& server() {
  static const std::unique_ptr<net::HttpServer> running = [] {
    net::ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.max_header_bytes = 2048;
    options.max_body_bytes = 4096;
    auto started =
        net::HttpServer::start(options, [](net::ServerRequest request, std::shared_ptr<net::Responder> answer) {
          for (const auto& [name, value] : request.headers)
            RETORT_CHECK(!name.empty() && request.header(name).size() <= 2048);
          if (request.path == "/stream") {
            answer->begin(200, {{"X-Query", request.query}});
            answer->write(request.body);
            answer->finish();
          } else {
            answer->send(200, {{"X-Path", request.path}, {"X-Method", request.method}}, std::move(request.body));
          }
        });
    RETORT_CHECK(started.ok());
    return std::move(*started);
  }();
  return *running;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n",
          "POST /v1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
          "POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
          "HEAD / HTTP/1.0\r\n\r\n",
          "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nX: " +
              std::string(2100, 'y') + "\r\n\r\n",
          "OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n",
          "GET /%00%zz\xFF HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int port = server().port();
  const std::string answer = ask(port, fuzz::text_of(data, size));
  RETORT_CHECK(answer.empty() || answer.starts_with("HTTP/1."));
  if (size % 16 == 0)
    RETORT_CHECK(ask(port, "GET /alive HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").find("X-Path: /alive") !=
                 std::string::npos);
  return 0;
}
