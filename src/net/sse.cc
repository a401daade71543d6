#include "net/sse.h"

namespace retort::net {

void SseParser::end_line(const std::function<void(const SseEvent&)>& on_event) {
  std::string line;
  line.swap(line_);
  if (line.empty()) {
    SseEvent event;
    std::swap(event, event_);
    if (!has_data_) return;
    has_data_ = false;
    if (event.type.empty()) event.type = "message";
    on_event(event);
    return;
  }
  if (line[0] == ':') {
    saw_field_ = true;
    return;
  }
  const size_t colon = line.find(':');
  const std::string_view name = std::string_view(line).substr(0, colon);
  std::string_view value = colon == std::string::npos ? std::string_view() : std::string_view(line).substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (name == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  } else if (name == "event") {
    event_.type = value;
  } else if (name != "id" && name != "retry") {
    return;
  }
  saw_field_ = true;
}

Status SseParser::feed(std::string_view bytes, const std::function<void(const SseEvent&)>& on_event) {
  if (overflow_) return {};
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  size_t i = 0;
  while (bom_ < kBom.size() && i < bytes.size()) {
    if (bytes[i] == kBom[bom_]) {
      ++bom_;
      ++i;
    } else {
      line_.append(kBom.substr(0, bom_));  // it was no mark: those bytes are the stream's
      bom_ = kBom.size();
    }
  }
  while (i < bytes.size()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes[i] == '\n') {
        ++i;
        continue;
      }
    }
    const size_t end = bytes.find_first_of("\r\n", i);
    const std::string_view piece = bytes.substr(i, end == std::string_view::npos ? end : end - i);
    if (line_.size() + event_.data.size() + piece.size() > max_event_bytes_) {
      overflow_ = true;
      line_.clear();
      event_ = {};
      return fail(Code::Limit, "one server-sent event is larger than {} bytes", max_event_bytes_);
    }
    line_.append(piece);
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    i = end + 1;
    end_line(on_event);
  }
  return {};
}

std::string sse_event(std::string_view data) {
  std::string out;
  out.reserve(data.size() + 8);
  for (size_t start = 0;;) {
    const size_t end = data.find_first_of("\r\n", start);
    out += "data: ";
    out += data.substr(start, end == std::string_view::npos ? end : end - start);
    out += '\n';
    if (end == std::string_view::npos) break;
    start = end + (data.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  out += '\n';
  return out;
}

}  // namespace retort::net
