#include "curate/identity.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "curate/identity_lists.h"

namespace retort::curate {
namespace {

bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// First place of `word` in `text` (both lower case) at word borders, or npos.
size_t find_word(std::string_view text, std::string_view word, size_t from = 0) {
  for (size_t at = text.find(word, from); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const bool start = at == 0 || !word_char(word.front()) || !word_char(text[at - 1]);
    const size_t end = at + word.size();
    if (start && (end == text.size() || !word_char(word.back()) || !word_char(text[end]))) return at;
  }
  return std::string_view::npos;
}

bool has_word(std::string_view text, std::string_view word) { return find_word(text, word) != std::string_view::npos; }

// A clause that names the model stands within so many bytes of its sentence's start.
constexpr size_t kLeadingClause = 240;

struct Leak {
  bool found = false;
  std::string what;
};

Leak find_leak(std::string_view sentence, std::string_view question, const std::vector<std::string>& names) {
  const std::string lower = lower_ascii(sentence);
  for (const std::string_view phrase : self_phrases())
    if (has_word(lower, phrase)) return {true, std::string(phrase)};
  const auto framed = [&](std::string_view name) {
    for (size_t at = find_word(lower, name); at != std::string::npos; at = find_word(lower, name, at + 1)) {
      const std::string_view before = trim(std::string_view(lower).substr(0, at));
      for (const std::string_view frame : self_frames()) {
        if (!before.ends_with(frame)) continue;
        if (before.size() == frame.size() || !word_char(before[before.size() - frame.size() - 1])) return true;
      }
    }
    return false;
  };
  const auto named = [&](std::string_view name) {
    return has_word(lower, name) && (framed(name) || !has_word(question, name));
  };
  for (const std::string_view name : plain_names())
    if (named(name)) return {true, std::string(name)};
  for (const std::string& name : names)
    if (!name.empty() && named(lower_ascii(name))) return {true, name};
  // "as", "called" and the like before a name shared with people says nothing ("the dog called Claude"), unless it
  // opens the sentence; "I am", "my name is" always do.
  for (const std::string_view name : shared_names()) {
    if (!has_word(lower, name)) continue;
    for (const std::string_view frame :
         {"i am ", "i'm ", "i’m ", "my name is ", "my name's ", "ich bin ", "je suis ", "soy ", "me llamo "})
      if (has_word(lower, std::string(frame) + std::string(name)))
        return {true, std::string(frame) + std::string(name)};
    if (lower.starts_with("as " + std::string(name) + ",")) return {true, "as " + std::string(name)};
  }
  for (const std::string_view phrase : maker_phrases()) {
    if (!has_word(lower, phrase)) continue;
    for (const std::string_view person : first_persons()) {
      // "I bought a toy made by ...": the maker must be the speaker's own: the first person directly before the phrase,
      // or no more than "was", "am", "have been" and a noun of its kind between.
      const size_t made = find_word(lower, phrase), who = find_word(lower, person);
      if (who == std::string::npos || who > made) continue;
      const std::string_view between =
          trim(std::string_view(lower).substr(who + person.size(), made - who - person.size()));
      static constexpr std::string_view kBetween[] = {"",
                                                      "was",
                                                      "am",
                                                      "were",
                                                      "have been",
                                                      "being",
                                                      "'m",
                                                      "’m",
                                                      "am an assistant",
                                                      "am a model",
                                                      "am a helpful assistant",
                                                      "a helpful assistant",
                                                      "an assistant",
                                                      "a model",
                                                      "is a model"};
      if (std::find(std::begin(kBetween), std::end(kBetween), between) != std::end(kBetween))
        return {true, std::string(phrase)};
    }
  }
  return {};
}

// Ends of sentences: after . ! ? (with what closes them) before white space, after the CJK marks, and at line ends.
std::vector<std::string_view> sentences(std::string_view text) {
  std::vector<std::string_view> out;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    size_t end = 0;
    if (text[i] == '\n') {
      end = i + 1;
    } else if (text[i] == '.' || text[i] == '!' || text[i] == '?') {
      size_t j = i + 1;
      while (j < text.size() && std::string_view(".!?\"')*").find(text[j]) != std::string_view::npos) ++j;
      if (j == text.size() || space(text[j])) end = j;
    } else if (text.compare(i, 3, "。") == 0 || text.compare(i, 3, "！") == 0 || text.compare(i, 3, "？") == 0) {
      end = i + 3;
    }
    if (end == 0) continue;
    while (end < text.size() && text[end] == ' ') ++end;
    out.push_back(text.substr(start, end - start));
    start = end;
    i = end - 1;
  }
  if (start < text.size()) out.push_back(text.substr(start));
  return out;
}

// Whether a sentence states a figure that the rest may rest on: a digit that is not part of a name (GPT-4, Llama 3).
bool has_figure(std::string_view sentence, std::string_view leak) {
  std::string rest = lower_ascii(sentence);
  for (const std::string_view name : plain_names()) rest = replace_all(rest, name, " ");
  rest = replace_all(rest, lower_ascii(leak), " ");
  for (size_t i = 0; i < rest.size(); ++i) {
    if (std::isdigit(static_cast<unsigned char>(rest[i])) == 0) continue;
    const bool inside = i > 0 && (word_char(rest[i - 1]) || rest[i - 1] == '-' || rest[i - 1] == '.');
    const bool year =
        rest.substr(i, 2) == "20" && i + 3 < rest.size() && (i + 4 == rest.size() || !word_char(rest[i + 4]));
    if (year) {
      i += 3;
      continue;
    }
    if (!inside || (i >= 2 && rest[i - 1] == '-' && rest[i - 2] == ' ')) return true;
    while (i + 1 < rest.size() && word_char(rest[i + 1])) ++i;
  }
  return false;
}

}  // namespace

Scrub scrub_identity(std::string_view text, std::string_view question, const std::vector<std::string>& names) {
  Scrub out;
  const std::string asked = lower_ascii(question);
  for (const std::string_view sentence : sentences(text)) {
    const Leak leak = find_leak(sentence, asked, names);
    if (!leak.found) {
      out.text += sentence;
      continue;
    }
    if (out.first.empty()) out.first = leak.what;
    ++out.removed;
    // "As ChatGPT, I add 5 and 3." keeps "I add 5 and 3."
    for (size_t comma = sentence.find(','); comma < kLeadingClause; comma = sentence.find(',', comma + 1)) {
      if (!find_leak(sentence.substr(0, comma + 1), asked, names).found) continue;
      std::string_view rest = sentence.substr(comma + 1);
      while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
      if (trim(rest).size() < 2 || find_leak(rest, asked, names).found ||
          has_figure(sentence.substr(0, comma + 1), leak.what))
        continue;
      std::string mended(rest);
      mended[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(mended[0])));
      out.text += mended;
      goto next;
    }
    if (has_figure(sentence, leak.what)) {
      out.whole = false;
      out.text += sentence;
    } else if (sentence.ends_with('\n') && !out.text.empty() && out.text.back() != '\n') {
      out.text += '\n';
    }
  next:;
  }
  if (out.removed > 0) out.text = std::string(trim(out.text));
  return out;
}

}  // namespace retort::curate
