// Single-element forms of the kernels' arithmetic: the scalar reference is made of them, and the vector versions use
// them for what is left over after whole registers. Included inside an anonymous namespace, once for each instruction
// set, so that std::fma becomes the instruction where there is one. No include guard for that reason.

inline float float_of_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity; NaN made quiet as the CPU's instruction does
    const uint32_t payload = (magnitude & 0x3ffu) << 13;
    return float_of_bits(sign | 0x7f800000u | payload | (payload != 0 ? 0x400000u : 0));
  }
  if (magnitude >= 0x400u) return float_of_bits(sign | ((magnitude << 13) + 0x38000000u));
  const float value = static_cast<float>(magnitude) * 0x1.0p-24f;  // subnormal: exact
  return sign != 0 ? -value : value;
}

inline float exp_one(float x) {
  if (!(x >= kExpLow)) return x != x ? x : 0.0f;
  const float clamped = x < kExpHigh ? x : kExpHigh;
  const float n = __builtin_nearbyintf(clamped * kLog2E);
  float r = __builtin_fmaf(n, -kLn2High, clamped);
  r = __builtin_fmaf(n, -kLn2Low, r);
  float p = kExp0;
  p = __builtin_fmaf(p, r, kExp1);
  p = __builtin_fmaf(p, r, kExp2);
  p = __builtin_fmaf(p, r, kExp3);
  p = __builtin_fmaf(p, r, kExp4);
  p = __builtin_fmaf(p, r, kExp5);
  const float tail = r + 1.0f;
  p = __builtin_fmaf(p, r * r, tail);
  return p * float_of_bits(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

inline float silu_mul_one(float gate, float up) { return gate / (1.0f + exp_one(-gate)) * up; }

// Lanes 0..15 as ((0+8)+(4+12))+... in a fixed tree.
inline float sum_lanes(const float* lanes) {
  float sums[kLanes];
  for (int i = 0; i < kLanes; ++i) sums[i] = lanes[i];
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) sums[i] = sums[i] + sums[i + width];
  return sums[0];
}
