// Keys in text from outside: however it is cut, the same comes out, and neither it nor what its escapes stand for holds
// the key.
#include "wire/redact.h"

#include "base/fuzz/target.h"
#include "base/json.h"
#include "net/url.h"

namespace {

using namespace retort;

constexpr const char* kKey = "sk-Ab/9+x&=_%\\Zq";

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {"sk-Ab/9+x&=_%\\Zq",
          "Bearer sk-Ab%2F9%2Bx%26%3D_%25%5CZq.",
          R"(\u0073\u006b-Ab\/9+x&=_%\\Zq)",
          R"(\\u0073k-Ab\\\/9+x&=_%\\\\Zq)",
          "sk-Ab&#47;9+x&#x26;=_%&#92;Zq",
          "c2stQWIvOSt4Jj1fJVxacQ==",
          "QmVhcmVyIHNrLUFiLzkreCY9XyVcWnE= QmVhcmVyIHNrLUFiLzkreCY9XyVcWnE="};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(fuzz::text_of(data, size));
  wire::Redactor redactor;
  redactor.add(Secret(kKey));
  std::string whole = text;
  const bool found = redactor.clean(whole);
  RETORT_CHECK(found == (whole != text) || text.find("[key]") != std::string::npos);
  wire::Redactor::Stream stream(redactor);
  std::string pieces;
  for (const std::string_view piece : fuzz::cut(text)) pieces += stream.feed(piece);
  pieces += stream.finish();
  RETORT_CHECK(pieces == whole);
  RETORT_CHECK(whole.find(kKey) == std::string::npos);
  RETORT_CHECK(net::percent_decode(whole).find(kKey) == std::string::npos);
  if (const auto json = parse_json("\"" + whole + "\""); json.ok())
    RETORT_CHECK(json->get<std::string>().find(kKey) == std::string::npos);
  return 0;
}
