#include "model/pretokenizer.h"

#include <optional>
#include <utility>

#include "model/pretokenizer_regex.h"
#include "model/unicode.h"

namespace retort::model {
namespace {

enum class Behaviour { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

Result<Behaviour> behaviour_named(const std::string& name) {
  if (name == "Removed") return Behaviour::Removed;
  if (name == "Isolated") return Behaviour::Isolated;
  if (name == "MergedWithPrevious") return Behaviour::MergedWithPrevious;
  if (name == "MergedWithNext") return Behaviour::MergedWithNext;
  if (name == "Contiguous") return Behaviour::Contiguous;
  return fail(Code::Invalid, "pre_tokenizer Split: behavior `{}` is not supported", name);
}

struct Span {
  size_t begin, end;
  bool match;
};

// `spans` cover the text. The semantics of Hugging Face's SplitDelimiterBehavior.
void emit(std::string_view text, const std::vector<Span>& spans, Behaviour behaviour,
          std::vector<std::string_view>& out) {
  std::vector<Span> kept;
  if (behaviour == Behaviour::Removed) {
    for (const Span& s : spans) {
      if (!s.match) kept.push_back(s);
    }
  } else if (behaviour == Behaviour::Isolated) {
    kept = spans;
  } else if (behaviour == Behaviour::Contiguous) {
    for (const Span& s : spans) {
      if (!kept.empty() && kept.back().match == s.match)
        kept.back().end = s.end;
      else
        kept.push_back(s);
    }
  } else if (behaviour == Behaviour::MergedWithPrevious) {
    bool previous = false;
    for (const Span& s : spans) {
      if (s.match && !previous && !kept.empty())
        kept.back().end = s.end;
      else
        kept.push_back(s);
      previous = s.match;
    }
  } else {
    bool previous = false;
    for (size_t k = spans.size(); k-- > 0;) {
      const Span& s = spans[k];
      if (s.match && !previous && !kept.empty())
        kept.back().begin = s.begin;
      else
        kept.push_back(s);
      previous = s.match;
    }
    for (size_t a = 0, b = kept.size(); a + 1 < b; ++a) std::swap(kept[a], kept[--b]);
  }
  for (const Span& s : kept) {
    if (s.end > s.begin) out.push_back(text.substr(s.begin, s.end - s.begin));
  }
}

}  // namespace

struct PreTokenizer::Step {
  enum class Kind { PrefixSpace, Scan, Digits, Regex, Literal } kind = Kind::Scan;
  Scanner scan = nullptr;
  bool individual = false;  // Digits
  std::optional<model::Regex> regex;
  std::string literal;
  Behaviour behaviour = Behaviour::Isolated;
  bool invert = false;

  Status apply(std::string_view text, std::vector<std::string_view>& out, std::deque<std::string>& owned,
               RegexWork& work) const {
    switch (kind) {
      case Kind::PrefixSpace:
        if (text.empty() || text[0] == ' ') {
          out.push_back(text);
        } else {
          owned.push_back(" " + std::string(text));
          out.emplace_back(owned.back());
        }
        return {};
      case Kind::Scan:
        for (size_t i = 0; i < text.size();) {
          const size_t end = scan(text, i);
          out.push_back(text.substr(i, end - i));
          i = end;
        }
        return {};
      case Kind::Digits: digits(text, out); return {};
      case Kind::Regex:
      case Kind::Literal: return pattern(text, out, work);
    }
    return {};
  }

  void digits(std::string_view text, std::vector<std::string_view>& out) const {
    static const uint8_t* const classes = char_classes();
    size_t begin = 0;
    bool in_digits = false;
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = code_point_at(text, i);
      const bool digit = (classes[c.value] & kDigit17) != 0;
      if (i > begin && (digit != in_digits || (digit && individual))) {
        out.push_back(text.substr(begin, i - begin));
        begin = i;
      }
      in_digits = digit;
      i += c.length;
    }
    if (begin < text.size()) out.push_back(text.substr(begin));
  }

  Status pattern(std::string_view text, std::vector<std::string_view>& out, RegexWork& work) const {
    std::vector<std::pair<size_t, size_t>> matches;
    if (kind == Kind::Regex) {
      RETORT_TRY(regex->find_all(text, matches, work));
    } else {
      for (size_t at = 0; (at = text.find(literal, at)) != std::string_view::npos; at += literal.size())
        matches.emplace_back(at, at + literal.size());
    }
    std::vector<Span> spans;
    size_t previous = 0;
    for (const auto& [begin, end] : matches) {
      if (begin > previous) spans.push_back({previous, begin, invert});
      spans.push_back({begin, end, !invert});
      previous = end;
    }
    if (previous < text.size()) spans.push_back({previous, text.size(), invert});
    emit(text, spans, behaviour, out);
    return {};
  }
};

Status PreTokenizer::add(const Json& section) {
  if (byte_level_) return fail(Code::Invalid, "pre_tokenizer: a step after ByteLevel is not supported");
  RETORT_ASSIGN(const std::string type, need_string(section, "type"));
  if (type == "Sequence") {
    const Json* list = find(section, "pretokenizers");
    if (list == nullptr || !list->is_array())
      return fail(Code::Invalid, "pre_tokenizer Sequence: `pretokenizers` is missing");
    for (const Json& member : *list) RETORT_TRY(add(member));
    return {};
  }
  auto step = std::make_shared<Step>();
  if (type == "ByteLevel") {
    RETORT_ASSIGN(const bool prefix, get_bool(section, "add_prefix_space", true));
    RETORT_ASSIGN(const bool use_regex, get_bool(section, "use_regex", true));
    if (prefix) {
      auto space = std::make_shared<Step>();
      space->kind = Step::Kind::PrefixSpace;
      steps_.push_back(space);
    }
    byte_level_ = true;
    if (!use_regex) return {};
    step->scan = scanner_for(kGpt2Pattern);
  } else if (type == "Digits") {
    step->kind = Step::Kind::Digits;
    RETORT_ASSIGN(step->individual, get_bool(section, "individual_digits", false));
  } else if (type == "Split") {
    RETORT_ASSIGN(const std::string behaviour, need_string(section, "behavior"));
    RETORT_ASSIGN(step->behaviour, behaviour_named(behaviour));
    RETORT_ASSIGN(step->invert, get_bool(section, "invert", false));
    const Json* pattern = find(section, "pattern");
    if (pattern == nullptr) return fail(Code::Invalid, "pre_tokenizer Split: `pattern` is missing");
    if (find(*pattern, "String") != nullptr) {
      step->kind = Step::Kind::Literal;
      RETORT_ASSIGN(step->literal, need_string(*pattern, "String"));
      if (step->literal.empty()) return fail(Code::Invalid, "pre_tokenizer Split: the pattern is empty");
    } else {
      RETORT_ASSIGN(const std::string text, need_string(*pattern, "Regex"));
      const bool whole =
          step->behaviour == Behaviour::Isolated || (step->behaviour == Behaviour::Removed && step->invert);
      if (whole && scanner_for(text) != nullptr) {
        step->scan = scanner_for(text);
      } else {
        step->kind = Step::Kind::Regex;
        RETORT_ASSIGN(step->regex, model::Regex::compile(text));
      }
    }
  } else {
    return fail(Code::Invalid,
                "pre_tokenizer `{}` is not supported; retort reads byte-level BPE: ByteLevel, Digits, Split, Sequence",
                type);
  }
  steps_.push_back(std::move(step));
  constexpr size_t kMaxSteps = 16;  // known models have up to 5
  if (steps_.size() > kMaxSteps)
    return fail(Code::Invalid, "pre_tokenizer: more than {} steps are not supported", kMaxSteps);
  return {};
}

Result<PreTokenizer> PreTokenizer::from_json(const Json& section) {
  PreTokenizer out;
  if (!section.is_null()) RETORT_TRY(out.add(section));
  return out;
}

Status PreTokenizer::split(std::string_view text, std::vector<std::string_view>& out, std::deque<std::string>& owned,
                           RegexWork& work) const {
  if (text.empty()) return {};
  if (steps_.empty()) {
    out.push_back(text);
    return {};
  }
  std::vector<std::string_view> pieces{text}, next;
  for (size_t k = 0; k < steps_.size(); ++k) {
    std::vector<std::string_view>& target = k + 1 == steps_.size() ? out : next;
    for (const std::string_view piece : pieces) RETORT_TRY(steps_[k]->apply(piece, target, owned, work));
    if (&target == &next) {
      pieces.swap(next);
      next.clear();
    }
  }
  return {};
}

}  // namespace retort::model
