// Curated examples as chats that other trainers read: JSON Lines of {"messages": [...]}, the form of OpenAI's
// fine-tuning files, TRL and LLaMA-Factory.
#pragma once

#include <cstdint>
#include <string>

#include "base/env.h"
#include "base/result.h"

namespace retort::app {

// Writes the examples of `from` (JSONL, .zst too) to `to`, in their order; returns how many. The answer's turn is
// `<think>`, thought, `</think>`, content as one text; with `apart` the thought is its member `reasoning_content`.
// Errors: Invalid where `to` exists, what reading and writing return.
Result<int64_t> export_messages(const std::string& from, const std::string& to, bool apart, Env& env);

}  // namespace retort::app
