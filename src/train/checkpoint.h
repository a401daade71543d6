// Checkpoint: everything a training run needs to go on as if it had not stopped, in one file that is there whole or not
// at all, and mapped where it is read. Layout (little-endian): "RTRTCKPT", u32 version, u32 zero, u64 header bytes, u64
// floats n, header (JSON), then n floats each of weights, first moments, second moments, then SHA-256 of all before it
// in 64 hex digits. Non-goal: the model to be used (that is the Hugging Face directory).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort::train {

inline constexpr uint32_t kCheckpointVersion = 2;  // 2: the thread count is in the header, not in the fingerprint

// One line of the training log: the state after a step.
struct LogRow {
  int64_t step = 0;  // from 1
  double loss = 0;   // mean over the step's answer tokens
  double lr = 0;
  double grad_norm = 0;  // before clipping
  int64_t tokens = 0;    // of this step
  int64_t targets = 0;   // of them in the loss
  double flops = 0;
  double seconds = 0;  // a run fact: differs from run to run
};
Json encode(const LogRow& row);
Status decode(const Json& json, LogRow& out);

// A count of threads, in force from the step after `step` on. Sums may be rounded otherwise under another count.
struct Threads {
  int64_t step = 0;
  int64_t count = 0;
};

struct Journal {
  std::string fingerprint;  // of options, data and base: what must be equal for a resume to make sense
  std::vector<Threads> threads;
  std::vector<LogRow> log;  // one a step done; its size is the cursor into the plan
};

Json encode(const std::vector<Threads>& threads);
// From the member `threads` of `json`.
Status decode(const Json& json, std::vector<Threads>& out);

struct State {
  std::span<float> weights, first, second;  // of equal size
};

// Writes `path` by way of `path`.tmp. Errors: Io.
Status write_checkpoint(const std::string& path, const Journal& journal, const State& state, Env& env);
// Reads into `state`, whose sizes must fit. Errors: Corrupt (naming what does not fit), Invalid (another version or
// another fingerprint; `state` is then unchanged), Io.
Result<Journal> read_checkpoint(const std::string& path, const std::string& fingerprint, const State& state);

// "checkpoint-00000012.bin" and back; nullopt for other names.
std::string checkpoint_name(int64_t step);
std::optional<int64_t> checkpoint_step(const std::string& name);

}  // namespace retort::train
