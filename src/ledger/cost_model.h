// Cost model: how many operations and dollars work takes before it is done, for --dry-run and for booking local work.
// Counts multiply-adds as two operations, matrix products and attention only (Kaplan et al. 2020, section 2.1; the
// attention term as in Chowdhery et al. 2022, appendix B, halved for causal masks).
#pragma once

#include <cstdint>

#include "base/money.h"

namespace retort::ledger {

// The numbers of a dense transformer that its cost depends on.
struct ModelShape {
  int64_t parameters = 0;  // that take part in a matrix product for each token: the output head counts, once, also
                           // where it is tied; the lookup of the embedding does not
  int64_t layers = 0;
  int64_t width = 0;  // heads * head size
};

// Forward pass of one token at position `context` (tokens before it, itself included): 2N + 4 L W context.
double forward_flops(const ModelShape& shape, double context);
// Forward passes of all tokens of a sequence of `length`.
double sequence_flops(const ModelShape& shape, int64_t length);
// Training on one sequence: forward, and backward at twice that; 6N a token plus attention.
double training_flops(const ModelShape& shape, int64_t length);

// `seconds` at `usd_per_hour` (micro-dollars), rounded up. Negative seconds are 0.
UsdMicros local_cost(double seconds, UsdMicros usd_per_hour);

}  // namespace retort::ledger
