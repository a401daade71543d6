#include "curate/held_out.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"

namespace retort::curate {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<uint8_t>(c) >= 0x80; }

std::vector<std::string> words_of(std::string_view normal) {
  std::vector<std::string> out;
  for (const std::string_view word : split(normal, ' '))
    if (!word.empty()) out.emplace_back(word);
  return out;
}

bool number(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return digit(c) || c == '.'; });
}

void sort_pair(std::string& a, std::string& b) {
  if (std::pair(a.size(), std::string_view(a)) > std::pair(b.size(), std::string_view(b))) std::swap(a, b);
}

template <class Visit>
void each_run(const std::vector<std::string>& words, int length, Visit visit) {
  const size_t n = static_cast<size_t>(length);
  for (size_t i = 0; i + n <= words.size(); ++i) {
    uint64_t hash = 0;
    for (size_t j = i; j < i + n; ++j) hash = (hash ^ fnv1a(words[j])) * 0x9E3779B97F4A7C15ull + 1;
    visit(hash);
  }
}

}  // namespace

std::string normalise_question(std::string_view question) {
  std::string text = lower_ascii(question);
  text = replace_all(text, "×", "*");
  text = replace_all(text, "−", "-");
  text = replace_all(text, "÷", "/");
  std::string out;
  const auto gap = [&] {
    if (!out.empty() && out.back() != ' ') out += ' ';
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool before = i > 0 && digit(text[i - 1]), after = i + 1 < text.size() && digit(text[i + 1]);
    if (word_char(c)) {
      // "3x4" and "3 apples": a number is a word of its own.
      if (!out.empty() && out.back() != ' ' && digit(c) != digit(out.back()) && (digit(c) || digit(out.back())) &&
          out.back() != '.')
        gap();
      out += c;
    } else if (c == '.' && before && after) {
      out += c;
    } else if (c == ',' && before && after && i + 3 < text.size() && digit(text[i + 2]) && digit(text[i + 3])) {
      continue;  // 1,234
    } else if (c == '\'' || text.compare(i, 3, "’") == 0) {
      continue;
    } else if (std::string_view("+-*/=%^").find(c) != std::string_view::npos) {
      gap();
      out += c;
      out += ' ';
    } else {
      gap();
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string commute_question(std::string_view question) {
  std::vector<std::string> words = words_of(normalise_question(question));
  std::vector<std::string> out;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string word = words[i];
    const bool between = !out.empty() && number(out.back()) && i + 1 < words.size() && number(words[i + 1]);
    if (word == "plus") word = "+";
    if (between && (word == "x" || word == "times")) word = "*";
    if (word == "multiplied" && i + 1 < words.size() && words[i + 1] == "by") word = "*", ++i;
    out.push_back(word);
  }
  // "the sum of a and b", "add a and b", "multiply a by b": the pair after the word.
  for (size_t i = 0; i + 2 < out.size(); ++i) {
    const bool sum = out[i] == "sum" || out[i] == "add" || out[i] == "total",
               product = out[i] == "product" || out[i] == "multiply";
    if (!sum && !product) continue;
    size_t a = i + 1;
    if (out[a] == "of") ++a;
    if (a + 2 < out.size() && number(out[a]) &&
        (out[a + 1] == "and" || out[a + 1] == "to" || out[a + 1] == "by" || out[a + 1] == "with") && number(out[a + 2]))
      sort_pair(out[a], out[a + 2]);
  }
  // Runs of one sign are sorted whole (a + b + c); a neighbour of higher or equal rank on either side keeps its
  // operand.
  for (const std::string_view sign : {"*", "+"}) {
    for (size_t i = 0; i + 2 < out.size(); ++i) {
      if (!number(out[i])) continue;
      if (i > 0 && std::string_view("-/^*").find(out[i - 1]) != std::string_view::npos && out[i - 1].size() == 1 &&
          out[i - 1] != sign)
        continue;
      size_t end = i;
      while (end + 2 < out.size() && out[end + 1] == sign && number(out[end + 2])) end += 2;
      if (end > i && end + 1 < out.size() &&
          (out[end + 1] == "^" || (sign == "+" && (out[end + 1] == "*" || out[end + 1] == "/"))))
        end -= 2;
      std::vector<std::string> operands;
      for (size_t j = i; j <= end; j += 2) operands.push_back(out[j]);
      std::sort(operands.begin(), operands.end(), [](const std::string& a, const std::string& b) {
        return std::pair(a.size(), std::string_view(a)) < std::pair(b.size(), std::string_view(b));
      });
      for (size_t j = i; j <= end; j += 2) out[j] = operands[(j - i) / 2];
      i = end;
    }
  }
  std::string text;
  for (const std::string& word : out) text += (text.empty() ? "" : " ") + word;
  return text;
}

void HeldOut::add(std::string_view question) {
  const std::string normal = normalise_question(question);
  if (normal.empty()) return;
  exact_.insert(normal);
  commuted_.insert(commute_question(question));
  if (ngram_ > 0) each_run(words_of(normal), ngram_, [&](uint64_t hash) { runs_.insert(hash); });
}

std::string HeldOut::match(std::string_view question) const {
  if (exact_.empty()) return "";
  const std::string normal = normalise_question(question);
  if (exact_.contains(normal)) return "same question";
  if (commuted_.contains(commute_question(question))) return "commuted";
  bool shared = false;
  if (ngram_ > 0) each_run(words_of(normal), ngram_, [&](uint64_t hash) { shared = shared || runs_.contains(hash); });
  return shared ? fmt::format("shares {} words in a row", ngram_) : "";
}

std::string question_of(const std::vector<Message>& messages) {
  for (auto it = messages.rbegin(); it != messages.rend(); ++it)
    if (it->role == "user") return it->content;
  return messages.empty() ? "" : messages.back().content;
}

}  // namespace retort::curate
