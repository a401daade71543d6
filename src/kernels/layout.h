// Sizes and constants that every instruction set shares. They fix the order of all roundings, so a kernel's result has
// the same bits on each of them (the scalar reference included): a dot product of fp32 adds one fused product after
// another within kDepth, then block sums in order; other sums run in kLanes lanes and a fixed tree.
#pragma once

#include <cstddef>
#include <cstdint>

namespace retort::kernels {

// Columns of a weight panel, and lanes of every reduction. One AVX-512 register, two of AVX2, four of NEON.
inline constexpr int kLanes = 16;
// Products that one accumulator takes before it is added to the output: a 16 KiB block of a panel stays in L1, and the
// rounding error grows with kDepth + K / kDepth instead of K.
inline constexpr int kDepth = 256;
// Weights that share a scale in ggml's formats, and activations in ours.
inline constexpr int kBlock = 32;
// Bytes of one block of an int8 panel: 16 f16 scales, 16 f16 minima, 8 groups of (16 rows x 4 weights).
inline constexpr int kPanelScaleBytes = kLanes * 2;
inline constexpr int kPanelBlockBytes = kLanes * 4 + kLanes * kBlock;

// exp(x) = 2^n * exp(r), n = round(x / ln 2), r = x - n ln 2 in two steps (Cody and Waite), |r| <= 0.35; polynomial of
// degree 6 as in Cephes' expf. Error below 1.5 units in the last place. Below kExpLow the result is 0.
inline constexpr float kExpLow = -87.0f, kExpHigh = 88.0f;
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
inline constexpr float kExp0 = 1.9875691500e-4f, kExp1 = 1.3981999507e-3f, kExp2 = 8.3334519073e-3f,
                       kExp3 = 4.1665795894e-2f, kExp4 = 1.6666665459e-1f, kExp5 = 5.0000001201e-1f;

// Elements whose exponentials add up in fp32 lanes before they join the double total of log_sum_exp.
inline constexpr int kSumChunk = 1024;

}  // namespace retort::kernels
