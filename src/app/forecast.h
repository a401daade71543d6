// Reckoning for --dry-run: what files hold or will hold, and how fast this machine is. Orders of size, not promises:
// the constants are typical, the machine is measured.
#pragma once

#include <string>

#include "app/step.h"
#include "base/result.h"

namespace retort::app {

// Tokens of a typical answer where nothing better is known; max_tokens bounds it.
inline constexpr int kTypicalAnswerTokens = 100;
// Bytes of text in a token, prompts, chains and names together.
inline constexpr double kBytesPerToken = 3;

// Records and bytes of a JSONL file: counted where it exists, else as an earlier step expects it, at most `limit`
// records (0: all). Nothing known: zeros.
Result<Expected> expect_file(const StepContext& context, const std::string& path, int64_t limit);

// Parameters of a model that exists or that an earlier step will train; 0 where nothing is known.
Result<double> expect_parameters(const StepContext& context, const std::string& path);

// fp32 operations a second of the kernels on all threads, measured once in about 50 ms.
double machine_flops();

}  // namespace retort::app
