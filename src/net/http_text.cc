#include "net/http_text.h"

#include <algorithm>
#include <ctime>

#include <boost/beast/http/status.hpp>

#include "base/json.h"
#include "base/text.h"

namespace retort::net {

const char* reason_phrase(int status) {
  namespace http = boost::beast::http;
  const auto phrase = http::obsolete_reason(static_cast<http::status>(status));
  return phrase.empty() || phrase[0] == '<' ? "Status" : phrase.data();
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  const size_t n = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, n};
}

std::string error_json(const std::string& type, const std::string& message) {
  return to_text({{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}});
}

bool is_header_text(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::string_view ambiguity(const Headers& headers, int version) {
  int hosts = 0, encodings = 0;
  std::string encoding;
  for (const auto& [name, value] : headers) {
    hosts += name == "host" ? 1 : 0;
    if (name != "transfer-encoding") continue;
    ++encodings;
    encoding = lower_ascii(value);
  }
  if (hosts > 1) return "there is more than one Host header";
  if (hosts == 0 && version >= 11) return "the Host header is missing";
  if (encodings == 0) return "";
  if (version < 11) return "a request of version 1.0 has no Transfer-Encoding";
  if (encodings > 1 || encoding != "chunked") return "the only Transfer-Encoding understood here is `chunked`";
  return "";
}

}  // namespace retort::net
