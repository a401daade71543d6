#include "model/tokenizer_added.h"

#include <algorithm>

#include "model/unicode.h"

namespace retort::model {
namespace {

uint8_t class_of(uint32_t code_point) {
  static const uint8_t* const classes = char_classes();
  return classes[code_point];
}

// Where the last character before `end` begins. Precondition: end > 0.
size_t before(std::string_view text, size_t end) {
  size_t i = end - 1;
  while (i > 0 && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80) --i;
  return i;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && (class_of(code_point_at(text, before(text, text.size())).value) & kWord) != 0;
}
bool starts_with_word(std::string_view text) {
  return !text.empty() && (class_of(code_point_at(text, 0).value) & kWord) != 0;
}
size_t leading_space(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const CodePoint c = code_point_at(text, i);
    if ((class_of(c.value) & kSpace) == 0) break;
    i += c.length;
  }
  return i;
}
size_t start_of_trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const size_t i = before(text, end);
    if ((class_of(code_point_at(text, i).value) & kSpace) == 0) break;
    end = i;
  }
  return end;
}

}  // namespace

void AddedMatcher::add(const std::string& text, const AddedToken& flags, int32_t id) {
  if (text.empty()) return;
  uint32_t node = 0;
  for (const char c : text) {
    const uint8_t b = static_cast<uint8_t>(c);
    const auto& children = nodes_[node].children;
    const auto it = std::find_if(children.begin(), children.end(), [&](const auto& p) { return p.first == b; });
    if (it != children.end()) {
      node = it->second;
    } else {
      const uint32_t fresh = static_cast<uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(b, fresh);
      nodes_.emplace_back();
      node = fresh;
    }
  }
  nodes_[node].entry = static_cast<int32_t>(entries_.size());
  entries_.push_back({id, flags.single_word, flags.lstrip, flags.rstrip});
  first_[static_cast<uint8_t>(text[0])] = true;
}

size_t AddedMatcher::match(std::string_view text, size_t i, int32_t& entry) const {
  uint32_t node = 0;
  size_t best = 0;
  for (size_t k = i; k < text.size(); ++k) {
    const uint8_t b = static_cast<uint8_t>(text[k]);
    const auto& children = nodes_[node].children;
    const auto it = std::find_if(children.begin(), children.end(), [&](const auto& p) { return p.first == b; });
    if (it == children.end()) break;
    node = it->second;
    if (nodes_[node].entry >= 0) {
      entry = nodes_[node].entry;
      best = k + 1 - i;
    }
  }
  return best;
}

void AddedMatcher::split(std::string_view text, const std::function<void(std::string_view, int32_t)>& emit) const {
  size_t done = 0, space_begin = 0, space_end = 0;  // the run of space that was looked through last
  for (size_t i = 0; i < text.size() && !entries_.empty();) {
    if (!first_[static_cast<uint8_t>(text[i])]) {
      ++i;
      continue;
    }
    int32_t entry = -1;
    const size_t length = match(text, i, entry);
    if (length == 0) {
      ++i;
      continue;
    }
    const Entry& e = entries_[static_cast<size_t>(entry)];
    size_t start = i, stop = i + length;
    i = stop;  // the search goes on behind the match, stripped space or not
    if (e.single_word && (ends_with_word(text.substr(0, start)) || starts_with_word(text.substr(stop)))) continue;
    // No further back than what is given out already, and no run of space twice: a token that is itself space would
    // take quadratic time.
    if (e.lstrip) start = start <= done ? done : done + start_of_trailing_space(text.substr(done, start - done));
    if (e.rstrip && (stop < space_begin || stop >= space_end)) {
      space_begin = stop;
      space_end = stop + leading_space(text.substr(stop));
    }
    if (e.rstrip) stop = std::max(stop, space_end);
    if (done < start) emit(text.substr(done, start - done), -1);
    emit(text.substr(start, stop > start ? stop - start : 0), e.id);
    done = stop;
  }
  if (done < text.size()) emit(text.substr(done), -1);
}

}  // namespace retort::model
