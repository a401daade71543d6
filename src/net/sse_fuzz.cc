// Event streams as a teacher sends them: events depend neither on where the bytes were cut nor on the kind of line
// breaks, no event is larger than the bound, and what sse_event() writes is read back.
#include "net/sse.h"

#include "base/fuzz/target.h"
#include "base/text.h"

namespace retort::net {
namespace {

struct Read {
  std::vector<std::pair<std::string, std::string>> events;
  bool ok = true, partial = false, field = false;
  bool operator==(const Read&) const = default;
};

Read read(const std::vector<std::string_view>& pieces, size_t most) {
  SseParser parser(most);
  Read out;
  for (const std::string_view piece : pieces) {
    const auto status = parser.feed(piece, [&](const SseEvent& event) {
      RETORT_CHECK(event.data.size() <= most);
      out.events.emplace_back(event.type, event.data);
    });
    if (!status.ok()) out.ok = false;
  }
  out.partial = parser.holds_partial();
  out.field = parser.saw_field();
  return out;
}

}  // namespace
}  // namespace retort::net

std::vector<std::string> retort::fuzz::seeds() {
  return {"data: {\"id\":\"x\",\"choices\":[]}\n\ndata: [DONE]\n\n",
          "\xEF\xBB\xBF: comment\r\nevent: error\r\ndata: a\r\ndata: b\r\n\r\n",
          "id: 7\rretry: 10\rdata:a\rdata\r\r",
          "data: open",
          "<html>\n\n</html>\n",
          "event: x\n\ndata: \n\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  for (const size_t most : {size_t{16} << 20, size_t{24}})
    RETORT_CHECK(net::read({text}, most) == net::read(fuzz::cut(text), most));

  if (text.find('\r') == std::string_view::npos) {
    for (const char* line_break : {"\r\n", "\r"}) {
      const std::string other = replace_all(text, "\n", line_break);
      RETORT_CHECK(net::read(fuzz::cut(other), size_t{16} << 20).events == net::read({text}, size_t{16} << 20).events);
    }
  }

  // Line breaks of every kind come back as LF.
  const net::Read again = net::read({net::sse_event(text)}, size_t{16} << 20);
  const std::string lines = replace_all(replace_all(text, "\r\n", "\n"), "\r", "\n");
  RETORT_CHECK(again.ok && !again.partial && again.events.size() == 1 && again.events[0].second == lines);
  return 0;
}
