// ChatTemplate: a bounded interpreter of the Jinja that chat templates use, with transformers' settings (trim_blocks,
// lstrip_blocks, loop controls, tojson that keeps non-ASCII, raise_exception, strftime_now). Output equals Jinja2's.
// What it does not know is an Error naming it and its line. Bounded in steps, depth and output, because templates come
// with models from outside. Non-goals: inheritance, includes, imports, auto-escaping, extensions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "base/result.h"
#include "record/message.h"

namespace retort::model {

// Steps and bytes are of a small conversation; a large one raises them (jinja_value.cc).
struct RenderLimits {
  int64_t steps = 3'000'000;       // statements, expressions and items; a text counts one for each 16 bytes looked at
  int depth = 1000;                // nested statements, calls and expressions
  size_t output_bytes = 64 << 20;  // of the result and of any string on the way
  size_t bytes = 256 << 20;        // of all strings, lists and dicts made
};

// What a render has taken of its limits.
struct RenderUse {
  int64_t steps = 0;
  size_t bytes = 0;
};

struct RenderOptions {
  int64_t now_us = 0;  // wall clock for strftime_now, microseconds since 1970 (Env::wall_us()); shown as UTC
  RenderLimits limits = {};
  const Cancel* cancel = nullptr;  // looked at every few thousand steps; ends in Cancelled
  RenderUse* use = nullptr;        // gets the use, also where rendering fails
};

// Immutable after parse(); render() may be called from several threads.
class ChatTemplate {
 public:
  // Errors: Invalid, with the line. Sources over 1 MiB: Limit.
  static Result<ChatTemplate> parse(std::string_view source);
  // `variables`: an object (messages, tools, add_generation_prompt, bos_token, eos_token, any other). `tools` and
  // `documents` that are null stay None, as transformers passes them; where a template fails on that (it loops over
  // them unasked), they count as absent. Errors: Invalid (raise_exception's own message included), Limit where a bound
  // is passed, Cancelled.
  Result<std::string> render(const Json& variables, const RenderOptions& options = {}) const;

  struct Program;

 private:
  explicit ChatTemplate(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

// The variables of a chat turn: messages in OpenAI's form, tools null where empty, and `extra`'s members over them.
Json chat_variables(const std::vector<Message>& messages, bool add_generation_prompt, std::string_view bos_token,
                    std::string_view eos_token, const Json& extra = nullptr);

}  // namespace retort::model
