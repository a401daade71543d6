// The vocabulary of generic-inl.h: kLanes fp32 lanes as kVectors registers of whatever width HWY_TARGET has. Included
// inside an anonymous namespace of a thin isa_<name>.cc; no include guard for that reason.

namespace hn = hwy::HWY_NAMESPACE;

using F = hn::FixedTag<float, (HWY_MAX_BYTES / 4 < kLanes ? HWY_MAX_BYTES / 4 : kLanes)>;
using I = hn::RebindToSigned<F>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;
constexpr F kF{};
constexpr I kI{};
constexpr int kWidth = HWY_MAX_BYTES / 4 < kLanes ? HWY_MAX_BYTES / 4 : kLanes;
constexpr int kVectors = kLanes / kWidth;
// Rows of a GEMM tile: as many accumulators as the registers hold (16 with AVX2, 32 with AVX-512 and NEON).
constexpr int kTileRows = HWY_MAX_BYTES == 64 ? 12 : 6;
