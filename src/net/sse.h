// Server-sent events, the framing of streamed completions: WHATWG HTML, section 9.2.6 (event stream interpretation).
// The parser takes bytes split anywhere and keeps only the event that is open. Non-goals: reconnection (`retry` and
// `id` are read over), character decoding.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace retort::net {

struct SseEvent {
  std::string type;  // `event` field; "message" where absent
  std::string data;  // lines joined by LF
};

class SseParser {
 public:
  explicit SseParser(size_t max_event_bytes = 16u << 20) : max_event_bytes_(max_event_bytes) {}
  // Feeds bytes; `on_event` is called for each event that ends in them. Errors: Limit where one event passes
  // max_event_bytes (the parser is then done: further bytes are ignored).
  Status feed(std::string_view bytes, const std::function<void(const SseEvent&)>& on_event);
  // True when bytes of an unfinished event are held: at the end of a stream, half an event.
  bool holds_partial() const { return !line_.empty() || has_data_; }
  // True once any field line or comment was seen: false for HTML, JSON or other bodies that are no event stream.
  bool saw_field() const { return saw_field_; }

 private:
  void end_line(const std::function<void(const SseEvent&)>& on_event);
  size_t max_event_bytes_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false, after_cr_ = false, saw_field_ = false, overflow_ = false;
  size_t bom_ = 0;  // bytes of a leading byte order mark seen; 3 once decided
};

// "data: ...\n\n", a line of `data` a field.
std::string sse_event(std::string_view data);

}  // namespace retort::net
