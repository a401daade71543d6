#include "model/chat_turn.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/text.h"
#include "model/think.h"

namespace retort::model {
namespace {

constexpr std::string_view kOpening = "<think>\n", kClosing = "\n</think>\n\n";

// Whether the tail of `text` is the thought's mark and white space, and what of kOpening it lacks.
void look_at_end(std::string_view text, ChatPrompt& prompt) {
  prompt.thought = kOpening;
  const size_t mark = text.rfind(kThinkOpen);
  if (mark == std::string_view::npos) return;
  const std::string_view rest = text.substr(mark + kThinkOpen.size());
  if (!trim(rest).empty()) return;
  prompt.in_thought = true;
  prompt.thought = rest.empty() ? kOpening.substr(kThinkOpen.size()) : "";
}

Result<std::string> render(const Tokenizer& tokenizer, const ChatTemplate& chat, const std::vector<Message>& messages,
                           bool ask, const ChatSettings& settings) {
  return chat.render(chat_variables(messages, ask, tokenizer.bos_token(), tokenizer.eos_token(), settings.variables),
                     {settings.now_us, {}, settings.cancel});
}

}  // namespace

Result<ChatPrompt> chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat,
                               const std::vector<Message>& messages, const ChatSettings& settings) {
  RETORT_ASSIGN(const std::string text, render(tokenizer, chat, messages, true, settings));
  if (settings.admit) RETORT_TRY(settings.admit(text));
  ChatPrompt prompt;
  RETORT_ASSIGN(prompt.ids, tokenizer.encode(text, false));  // the template wrote its own BOS
  look_at_end(text, prompt);
  return prompt;
}

std::string answer_text(const ChatPrompt& prompt, std::string_view reasoning, std::string_view content) {
  std::string text;
  if (prompt.in_thought || !reasoning.empty()) {
    text += prompt.thought;
    text += reasoning;
    text += kClosing;
  }
  text += content;
  return text;
}

Result<std::vector<int32_t>> answer_ids(const Tokenizer& tokenizer, const ChatPrompt& prompt,
                                        std::string_view reasoning, std::string_view content, int32_t end) {
  RETORT_ASSIGN(std::vector<int32_t> ids, tokenizer.encode_written(answer_text(prompt, reasoning, content)));
  ids.push_back(end);
  return ids;
}

std::vector<int32_t> end_ids(const Config& config, const Tokenizer& tokenizer) {
  if (!config.eos_ids.empty() || tokenizer.eos_id() < 0) return config.eos_ids;
  return {tokenizer.eos_id()};
}

int32_t end_id(const Tokenizer& tokenizer, const ChatTemplate& chat, std::span<const int32_t> ends,
               const ChatSettings& settings) {
  const auto ending = [&](int32_t id) { return std::find(ends.begin(), ends.end(), id) != ends.end(); };
  const std::string answer = "The answer.";
  const auto turn = render(tokenizer, chat, {{"user", "A question.", "", nullptr}, {"assistant", answer, "", nullptr}},
                           false, settings);
  const size_t at = turn.ok() ? turn->rfind(answer) : std::string::npos;
  if (at != std::string::npos) {
    const auto behind = tokenizer.encode(std::string_view(*turn).substr(at + answer.size()), false);
    for (size_t i = 0; behind.ok() && i < behind->size(); ++i)
      if (ending((*behind)[i])) return (*behind)[i];
  }
  return ending(tokenizer.eos_id()) ? tokenizer.eos_id() : ends.front();
}

std::string_view shown_bytes(const Tokenizer& tokenizer, int32_t id) {
  const std::string_view bytes = tokenizer.token_bytes(id);
  return !tokenizer.is_special(id) || is_think_mark(bytes) ? bytes : std::string_view();
}

Result<int64_t> noon_of(const std::string& day) {
  int y = 0, m = 0, d = 0, used = 0;
  const bool read = std::sscanf(day.c_str(), "%4d-%2d-%2d%n", &y, &m, &d, &used) == 3;
  const std::chrono::year_month_day date{std::chrono::year(y), std::chrono::month(static_cast<unsigned>(m)),
                                         std::chrono::day(static_cast<unsigned>(d))};
  if (!read || static_cast<size_t>(used) != day.size() || y < 1970 || !date.ok())
    return fail(Code::Invalid, "`{}` is not a date as 2025-02-22", day);
  const std::chrono::sys_time<std::chrono::microseconds> noon = std::chrono::sys_days(date) + std::chrono::hours(12);
  return noon.time_since_epoch().count();
}

}  // namespace retort::model
