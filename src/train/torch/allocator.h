// Memory for libtorch's CPU tensors: freed blocks are kept by size and handed out again, because training asks for the
// same sizes at every step and fresh pages cost as much as the arithmetic of a small model. Counts what is alive, so
// that tests can bound it. Non-goal: weights, gradients and moments (plain vectors).
#pragma once

#include <cstdint>

namespace retort::train {

// Makes this libtorch use the allocator, for good. Idempotent, thread-safe.
void install_allocator();
// Most bytes alive at once since the last call.
int64_t take_peak_bytes();
// Gives what is kept back to the system: what runs after the training needs the memory.
void release_kept_blocks();

}  // namespace retort::train
