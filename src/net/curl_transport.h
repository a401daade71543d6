// CurlTransport: Transport over libcurl's multi interface, one thread for all exchanges. Connections are kept and
// reused; certificates are verified; redirects are not followed (a redirected POST would carry the key elsewhere);
// proxies come from the environment as curl reads them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/transport.h"

namespace retort::net {

struct CurlOptions {
  int kept_connections = 256;  // idle ones kept open for reuse; how many exchanges run at once is the caller's choice
  std::string ca_file;         // PEM of trusted authorities; "": the system's
};

class CurlTransport final : public Transport {
 public:
  explicit CurlTransport(CurlOptions options = {});
  // Ends what is under way with Cancelled, before it returns.
  ~CurlTransport() override;
  void send(HttpRequest request, std::function<bool(std::string_view)> on_chunk,
            std::function<void(Result<HttpResponse>)> on_done, Cancel cancel) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort::net
