// The rule `regex`: PCRE2 within fixed bounds. Patterns and texts may both come from outside and be made to blow up, so
// the work of a search is counted (a callout before each item of the pattern), its memory is bounded, and only the end
// of a long text is searched. A search that passes its bounds found nothing.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <memory>

#include <pcre2.h>

#include "base/text.h"
#include "verify/rule_kinds.h"

namespace retort::verify {
namespace {

constexpr size_t kMostPattern = 4 << 10, kMostText = 16 << 10;
constexpr int kMostSteps = 1'000'000;
constexpr uint32_t kMostHeapKib = 32 << 10, kMostParentheses = 64;

int count_step(pcre2_callout_block*, void* left) { return --*static_cast<int*>(left) < 0 ? PCRE2_ERROR_MATCHLIMIT : 0; }

struct Pattern {
  std::shared_ptr<pcre2_code> code;
  bool group = false;

  static Result<Pattern> compile(std::string_view text) {
    if (text.size() > kMostPattern)
      return fail(Code::Invalid, "a pattern of {} bytes is too long (at most {})", text.size(), kMostPattern);
    const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
        pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
    pcre2_set_parens_nest_limit(context.get(), kMostParentheses);
    int error = 0;
    PCRE2_SIZE at = 0;
    // Without possessive repeats of its own making, so that all steps back are counted.
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT | PCRE2_NO_AUTO_POSSESS,
                      &error, &at, context.get());
    if (code == nullptr) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(error, message, sizeof message);
      return fail(Code::Invalid, "the pattern `{}` is faulty at byte {}: {}", to_utf8(text), at,
                  reinterpret_cast<const char*>(message));
    }
    Pattern out;
    out.code = std::shared_ptr<pcre2_code>(code, &pcre2_code_free);
    uint32_t groups = 0;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    out.group = groups > 0;
    return out;
  }

  // The first group, or where there is none the whole, of the last match.
  std::optional<std::string> last(std::string_view given) const {
    if (given.size() > kMostText) given.remove_prefix(given.size() - kMostText);
    const std::string text = to_utf8(given);
    const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
        pcre2_match_data_create_from_pattern(code.get(), nullptr), &pcre2_match_data_free);
    const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
        pcre2_match_context_create(nullptr), &pcre2_match_context_free);
    pcre2_set_match_limit(context.get(), kMostSteps);
    pcre2_set_depth_limit(context.get(), kMostSteps);
    pcre2_set_heap_limit(context.get(), kMostHeapKib);
    int left = kMostSteps;
    pcre2_set_callout(context.get(), count_step, &left);
    std::optional<std::string> found;
    for (size_t from = 0; from <= text.size();) {
      const int n = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0, data.get(),
                                context.get());
      if (n == PCRE2_ERROR_NOMATCH) return found;
      if (n < 0) return std::nullopt;
      const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
      const size_t which = group && n > 1 && span[2] != PCRE2_UNSET ? 1 : 0;
      if (span[2 * which] <= span[2 * which + 1])
        found = text.substr(span[2 * which], span[2 * which + 1] - span[2 * which]);
      from = std::max<size_t>(span[1], from);
      if (span[1] <= span[0]) {
        ++from;
        while (from < text.size() && (static_cast<uint8_t>(text[from]) & 0xC0) == 0x80) ++from;
      }
    }
    return found;
  }
};

}  // namespace

Status make_regex(std::string_view argument, Rule& rule) {
  if (argument.empty()) {  // the reference is the pattern
    rule.accepts = [](std::string_view reference) -> Status {
      auto pattern = Pattern::compile(reference);
      if (!pattern.ok()) return std::move(pattern).error();
      return {};
    };
    rule.judge = [](const Case& one) {
      Judgement out;
      const auto pattern = Pattern::compile(one.reference);
      const std::string body = strip_thought(one.reply).text;
      out.how = trim(body).empty() ? "no_answer" : "regex";
      if (!pattern.ok() || out.how == "no_answer") return out;
      const auto found = pattern->last(trim(body));
      out.equal = found.has_value();
      out.answer = Answer{found ? *found : undress(body), "regex"};
      return out;
    };
    return {};
  }
  RETORT_ASSIGN(Pattern pattern, Pattern::compile(argument));
  rule.extract = [pattern](std::string_view reply) -> std::optional<Answer> {
    const std::string body = strip_thought(reply).text;
    const auto found = pattern.last(trim(body));
    if (!found || trim(*found).empty()) return std::nullopt;
    return Answer{std::string(trim(*found)), "regex"};
  };
  rule.judge = [extract = rule.extract](const Case& one) {
    Judgement out;
    out.answer = extract(one.reply);
    out.how = "no_answer";
    if (!out.answer) return out;
    const Verdict verdict = equal(reference_of(one.reference), out.answer->text);
    out.equal = verdict.equal;
    out.how = verdict.how;
    return out;
  };
  return {};
}

}  // namespace retort::verify
