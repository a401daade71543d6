#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pretokenizer_regex.h"

#include <algorithm>
#include <cctype>
#include <ctime>
#include <utility>

#include <pcre2.h>

#include "model/unicode.h"

namespace retort::model {
namespace {

constexpr std::string_view kSpaceClass =
    R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpaceClass =
    R"(\x{00}-\x{08}\x{0e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";
constexpr size_t kMaxPattern = 64 << 10;

// A match at one place takes a handful of PCRE2's steps in the patterns of known models, more only where a word is
// long. kFirstSteps are given to each place unasked; what needs more is tried again with four times as many, place by
// place.
constexpr uint32_t kFirstSteps = 100;
// Places that are tried together at first; twice as many each time that none matches, for a search may look past them.
constexpr size_t kWindow = 64;
// Matches from one look at the clock to the next where nothing is amiss.
constexpr int kMatchesPerLook = 64;
constexpr uint32_t kHeapKib = 64 << 10;

// What Unicode added to a category (one or two letters) or to Han after PCRE2's version, as class members.
std::string added_members(std::string_view property) {
  std::string out;
  for (size_t i = 0; property == "Han" && i < unicode_tables::kAddedHanCount; ++i) {
    const CodeRange& r = unicode_tables::kAddedHan[i];
    out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", r.first, r.last);
  }
  for (size_t i = 0; i < unicode_tables::kAddedCount; ++i) {
    const AddedRange& r = unicode_tables::kAdded[i];
    if (std::string_view(r.category).substr(0, property.size()) == property)
      out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", r.first, r.last);
  }
  return out;
}

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> run() {
    while (i_ < in_.size()) {
      const char c = in_[i_];
      if (c == '\\') {
        RETORT_TRY(escape(false));
      } else if (c == '[') {
        RETORT_TRY(bracket());
      } else if (c == '(') {
        RETORT_TRY(group());
      } else if (c == '}' && i_ + 1 < in_.size() && in_[i_ + 1] == '+') {
        return refuse("a possessive {n,m}+");
      } else {
        out_ += c;
        ++i_;
      }
    }
    return out_;
  }

 private:
  Error refuse(std::string_view what) const {
    return fail(Code::Invalid, "pattern `{}`: {} at byte {} is not supported", in_, what, i_);
  }

  Status group() {
    out_ += '(';
    ++i_;
    if (i_ >= in_.size() || in_[i_] != '?') return {};
    for (const std::string_view known : {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:"}) {
      if (in_.substr(i_, known.size()) == known) {
        out_ += known;
        i_ += known.size();
        return {};
      }
    }
    return refuse("this kind of group");
  }

  Status bracket() {
    out_ += '[';
    ++i_;
    if (i_ < in_.size() && in_[i_] == '^') out_ += in_[i_++];
    if (i_ < in_.size() && in_[i_] == ']') return refuse("an empty class");
    while (i_ < in_.size() && in_[i_] != ']') {
      if (in_[i_] == '\\') {
        RETORT_TRY(escape(true));
      } else if (in_[i_] == '[' || in_.substr(i_, 2) == "&&") {
        return refuse("a class within a class");
      } else {
        out_ += in_[i_++];
      }
    }
    if (i_ >= in_.size()) return refuse("an unclosed class");
    out_ += ']';
    ++i_;
    return {};
  }

  Status escape(bool in_class) {
    if (i_ + 1 >= in_.size()) return refuse("a backslash at the end");
    const char c = in_[i_ + 1];
    const auto open = [&](std::string_view mark) { return in_class ? std::string() : std::string(mark); };
    const auto close = [&] { return in_class ? "" : "]"; };
    if (c == 's' || c == 'S') {
      out_ += open("[");
      out_ += c == 's' ? kSpaceClass : kNotSpaceClass;
      out_ += close();
      i_ += 2;
      return {};
    }
    if (c == 'p' || c == 'P') return property(in_class, c == 'P');
    if (std::isalnum(static_cast<unsigned char>(c))) {
      if (std::string_view("rntfdDwW").find(c) == std::string_view::npos &&
          (in_class || std::string_view("bBAz").find(c) == std::string_view::npos) && in_.substr(i_ + 1, 2) != "x{") {
        return refuse("an escape");
      }
    }
    out_ += in_.substr(i_, 2);
    i_ += 2;
    return {};
  }

  Status property(bool in_class, bool negated) {
    const size_t end = in_.find('}', i_);
    if (in_.substr(i_ + 2, 1) != "{" || end == std::string_view::npos) return refuse("a property without braces");
    std::string_view name = in_.substr(i_ + 3, end - i_ - 3);
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    for (const char c : name) {
      if (!std::isalpha(static_cast<unsigned char>(c)) && c != '_') return refuse("a property");
    }
    if (name.empty()) return refuse("a property");
    const std::string added = added_members(name);
    // Onig's \p{Han} is the script; PCRE2's would be the script extensions.
    const std::string pcre = name.size() <= 2 ? std::string(name) : fmt::format("sc:{}", name);
    if (in_class) {
      // Inside a class a negated property cannot lose the added ranges again; characters newer than PCRE2 count as new.
      out_ += negated ? fmt::format("\\P{{{}}}", pcre) : fmt::format("\\p{{{}}}{}", pcre, added);
    } else {
      out_ += fmt::format("[{}\\p{{{}}}{}]", negated ? "^" : "", pcre, added);
    }
    i_ = end + 1;
    return {};
  }

  std::string_view in_;
  std::string out_;
  size_t i_ = 0;
};

int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

pcre2_code* raw(const std::shared_ptr<void>& code) { return static_cast<pcre2_code*>(code.get()); }

}  // namespace

Result<std::string> translate_regex(std::string_view pattern) {
  if (pattern.size() > kMaxPattern) return fail(Code::Invalid, "a pattern of {} bytes is too long", pattern.size());
  return Translator(pattern).run();
}

Result<Regex> Regex::compile(std::string_view pattern) {
  RETORT_ASSIGN(const std::string translated, translate_regex(pattern));
  const auto compiled = [&](uint32_t options) -> Result<std::shared_ptr<void>> {
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | options,
                                     &error, &offset, nullptr);
    if (code == nullptr) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(error, message, sizeof message);
      return fail(Code::Invalid, "pattern `{}`: {}", pattern.substr(0, 200), reinterpret_cast<const char*>(message));
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where the machine has no JIT, matching is slower but equal
    return std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  };
  RETORT_ASSIGN(auto search, compiled(PCRE2_USE_OFFSET_LIMIT));
  RETORT_ASSIGN(auto here, compiled(PCRE2_ANCHORED));
  return Regex(std::move(search), std::move(here), std::string(pattern.substr(0, 200)));
}

RegexWork regex_work(size_t text_bytes) {
  constexpr int64_t kSteps = 1'000'000, kStepsEach = 64, kMostSteps = 400'000'000;  // some 10 ns each, as a rule
  constexpr int64_t kNs = 1'000'000'000, kNsEach = 1000, kMostNs = 20 * kNs;
  const auto bytes = static_cast<int64_t>(std::min(text_bytes, size_t{1} << 40));
  return {std::min(kMostSteps, kSteps + kStepsEach * bytes), std::min(kMostNs, kNs + kNsEach * bytes)};
}

Status Regex::find_all(std::string_view text, std::vector<std::pair<size_t, size_t>>& out, RegexWork& work) const {
  const int64_t start_ns = cpu_ns();
  struct Spent {
    int64_t start_ns;
    RegexWork& work;
    ~Spent() { work.cpu_ns -= cpu_ns() - start_ns; }
  } const spent{start_ns, work};
  const auto too_much = [&](size_t at) {
    return fail(Code::Limit,
                "the tokenizer's pattern `{}` takes more work than any of known models would, at byte {} of {}; use a "
                "tokenizer whose pattern does not search in so many ways",
                pattern_, at, text.size());
  };
  int until_look = kMatchesPerLook;
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
      pcre2_match_data_create_from_pattern(raw(search_), nullptr), &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  const std::unique_ptr<pcre2_jit_stack, void (*)(pcre2_jit_stack*)> stack(
      pcre2_jit_stack_create(32 << 10, 64 << 20, nullptr), &pcre2_jit_stack_free);
  pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  pcre2_set_heap_limit(context.get(), kHeapKib);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  uint32_t steps = kFirstSteps;  // that a place gets
  size_t window = kWindow;       // places that are tried together
  size_t singly = 0;             // places that are tried one by one, since one of them is known to need more
  for (size_t from = 0; from <= text.size();) {
    size_t last = singly > 0 ? from : std::min(from + window, text.size());
    while (last < text.size() && last > from && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    pcre2_set_offset_limit(context.get(), singly > 0 ? PCRE2_UNSET : last);
    pcre2_set_match_limit(context.get(), steps);
    const int n = pcre2_match(raw(singly > 0 ? here_ : search_), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                              data.get(), context.get());
    const bool too_few = n == PCRE2_ERROR_MATCHLIMIT;
    if (n < 0 && n != PCRE2_ERROR_NOMATCH && !too_few) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(n, message, sizeof message);
      return fail(Code::Limit, "the tokenizer's pattern `{}` fails at byte {} of the text: {}", pattern_, from,
                  reinterpret_cast<const char*>(message));
    }
    if (--until_look <= 0 || singly > 0 || too_few) {
      until_look = kMatchesPerLook;
      if (cpu_ns() - start_ns > work.cpu_ns) return too_much(from);
    }
    if (too_few && singly == 0) {
      singly = std::exchange(window, kWindow);
      continue;
    }
    if (steps > kFirstSteps || too_few) work.steps -= steps;
    if (too_few) {
      if (work.steps <= 0) return too_much(from);
      steps = static_cast<uint32_t>(std::min<int64_t>(int64_t{steps} * 4, std::max<int64_t>(work.steps, kFirstSteps)));
      continue;
    }
    steps = kFirstSteps;
    if (singly > 0)
      --singly;
    else if (n < 0)
      window *= 2;
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    if (n >= 0 && span[1] > span[0]) {
      out.emplace_back(span[0], span[1]);
      from = span[1];
      continue;
    }
    const size_t at = n >= 0 ? span[1] : last;
    if (at >= text.size()) return {};
    from = at + code_point_at(text, at).length;
  }
  return {};
}

}  // namespace retort::model
