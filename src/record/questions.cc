#include "record/questions.h"

#include "base/hash.h"

namespace retort {

Result<std::string> Questions::add(const Prompt& prompt) {
  ++rows_;
  const uint64_t messages = fnv1a(to_text(encode(prompt.messages)));
  const auto [at, fresh] = seen_.emplace(prompt.id, Seen{rows_, messages, prompt.answer});
  Seen& seen = at->second;
  if (!fresh && seen.messages != messages)
    return fail(Code::Invalid,
                "row {} has the id `{}` of row {}, which is another question; ids must be unique within a data set",
                rows_, prompt.id, seen.row);
  if (fresh) return std::string();
  return fmt::format("same question as row {}{}", seen.row, seen.answer == prompt.answer ? "" : ", but another answer");
}

}  // namespace retort
