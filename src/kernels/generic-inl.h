// Every kernel once, in Highway's vocabulary. Included inside an anonymous namespace of a thin isa_<name>.cc after
// lanes-inl.h, scalar-inl.h, and that file's own
//   constexpr int kTileTokens;                                           tokens of an int8 tile
//   template <int T> void block_dots(const int8_t* w, const int8_t* const (&x)[T], const int32_t (&sums)[T],
//                                    VI (&dots)[T][kVectors]);
// which sets dots[t] to the 16 rows' integer dots of one block: w holds 8 groups of (16 rows x 4 weights), x[t] points
// to token t's 32 activations, whose sum is sums[t]. No include guard because each instruction set has its own copy.
// Accumulator arrays stay in registers only where every loop over them is unrolled by a pragma (g++ 12).

// c (+)= a * b for MR rows and NP panels over k <= kDepth.
template <int MR, int NP>
void tile(const float* a, ptrdiff_t lda, int k, const float* b, ptrdiff_t row_stride, ptrdiff_t panel_stride, float* c,
          ptrdiff_t ldc, bool accumulate) {
  constexpr int kColumns = NP * kVectors;
  VF sums[MR][kColumns];
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 32
    for (int j = 0; j < kColumns; ++j) sums[r][j] = hn::Zero(kF);
  for (int i = 0; i < k; ++i) {
    if constexpr (NP > MR) {
      VF x[MR];
#pragma GCC unroll 16
      for (int r = 0; r < MR; ++r) x[r] = hn::Set(kF, a[r * lda + i]);
#pragma GCC unroll 32
      for (int j = 0; j < kColumns; ++j) {
        const VF w = hn::LoadU(kF, b + i * row_stride + j / kVectors * panel_stride + j % kVectors * kWidth);
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r) sums[r][j] = hn::MulAdd(x[r], w, sums[r][j]);
      }
    } else {
      VF w[kColumns];
#pragma GCC unroll 32
      for (int j = 0; j < kColumns; ++j)
        w[j] = hn::LoadU(kF, b + i * row_stride + j / kVectors * panel_stride + j % kVectors * kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < MR; ++r) {
        const VF x = hn::Set(kF, a[r * lda + i]);
#pragma GCC unroll 32
        for (int j = 0; j < kColumns; ++j) sums[r][j] = hn::MulAdd(x, w[j], sums[r][j]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 32
    for (int j = 0; j < kColumns; ++j) {
      float* out = c + r * ldc + j * kWidth;
      hn::StoreU(accumulate ? hn::Add(hn::LoadU(kF, out), sums[r][j]) : sums[r][j], kF, out);
    }
}

// Panels in flight for MR rows: with few rows it takes several to hide the latency of FMA (about 8 accumulators).
template <int MR>
constexpr int panels_for() {
  constexpr int registers = kTileRows * (kTileRows == 12 ? 1 : kVectors);
  constexpr int panels = registers / (MR * kVectors);
  return panels < 1 ? 1 : panels > 8 ? 8 : panels;
}

// One block of k for MR rows and NP whole panels or, where fewer than 16 columns are left, one partial panel.
template <int MR, int NP>
void tile_columns(const float* a, ptrdiff_t lda, int k, const float* b, const Panels& p, int columns, float* c,
                  ptrdiff_t ldc, bool accumulate) {
  if (columns >= NP * kLanes) return tile<MR, NP>(a, lda, k, b, p.row_stride, p.panel_stride, c, ldc, accumulate);
  float whole[MR * kLanes] = {};
  tile<MR, 1>(a, lda, k, b, p.row_stride, p.panel_stride, whole, kLanes, false);
  for (int r = 0; r < MR; ++r)
    for (int j = 0; j < columns; ++j)
      c[r * ldc + j] = accumulate ? c[r * ldc + j] + whole[r * kLanes + j] : whole[r * kLanes + j];
}

// All columns for exactly MR rows, several panels at a time.
template <int MR>
void few_rows(const float* a, ptrdiff_t lda, int k, const Panels& b, int n, float* c, ptrdiff_t ldc, bool accumulate) {
  constexpr int kPanels = panels_for<MR>();
  int column = 0;
  const auto advance = [&](auto panels) HWY_ATTR {
    constexpr int NP = decltype(panels)::value;
    const float* w = b.data + column / kLanes * b.panel_stride;
    for (int start = 0; start < k; start += kDepth)
      tile_columns<MR, NP>(a + start, lda, std::min(kDepth, k - start), w + start * b.row_stride, b, n - column,
                           c + column, ldc, accumulate || start > 0);
    column += NP * kLanes;
  };
  while (n - column >= kPanels * kLanes) advance(std::integral_constant<int, kPanels>());
  while (column < n) advance(std::integral_constant<int, 1>());
}

using RowsFunction = void (*)(const float*, ptrdiff_t, int, const Panels&, int, float*, ptrdiff_t, bool);
using TileFunction = void (*)(const float*, ptrdiff_t, int, const float*, const Panels&, int, float*, ptrdiff_t, bool);
template <int... R>
constexpr std::array<RowsFunction, sizeof...(R)> rows_functions(std::integer_sequence<int, R...>) {
  return {few_rows<R + 1>...};
}
template <int... R>
constexpr std::array<TileFunction, sizeof...(R)> tile_functions(std::integer_sequence<int, R...>) {
  return {tile_columns<R + 1, 1>...};
}
constexpr auto kFewRows = rows_functions(std::make_integer_sequence<int, kTileRows>());
constexpr auto kTile = tile_functions(std::make_integer_sequence<int, kTileRows>());

void gemm(const float* a, ptrdiff_t lda, int m, int k, const Panels& b, int n, float* c, ptrdiff_t ldc,
          bool accumulate) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) {
    for (int r = 0; r < m && !accumulate; ++r) std::memset(c + r * ldc, 0, sizeof(float) * static_cast<size_t>(n));
    return;
  }
  if (m <= kTileRows) return kFewRows[static_cast<size_t>(m - 1)](a, lda, k, b, n, c, ldc, accumulate);
  const int tiles = (m + kTileRows - 1) / kTileRows;
  for (int column = 0; column < n; column += kLanes) {
    const float* panel = b.data + column / kLanes * b.panel_stride;
    for (int start = 0; start < k; start += kDepth) {
      const int depth = std::min(kDepth, k - start);
      for (int t = 0; t < tiles; ++t) {  // rows spread evenly, so no tile is left with one or two
        const int first = m * t / tiles, rows = m * (t + 1) / tiles - first;
        kTile[static_cast<size_t>(rows - 1)](a + first * lda + start, lda, depth, panel + start * b.row_stride, b,
                                             n - column, c + first * ldc + column, ldc, accumulate || start > 0);
      }
    }
  }
}

VF load_half(const uint8_t* p) {
  const hn::Rebind<hwy::float16_t, F> half;
  return hn::PromoteTo(kF, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(p)));
}

template <int T, bool kHasMin>
void int8_tile(const Int8Rows& x, int row, int blocks, const uint8_t* panel, int columns, float* c, ptrdiff_t ldc) {
  VF totals[T][kVectors];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) totals[t][v] = hn::Zero(kF);
  for (int block = 0; block < blocks; ++block, panel += kPanelBlockBytes) {
    const int8_t* tokens[T];
    int32_t sums[T];
    float scales[T];
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(row + t) * blocks + block;
      tokens[t] = x.q + at * kBlock;
      sums[t] = x.sums[at];
      scales[t] = x.scales[at];
    }
    VI dots[T][kVectors];
    block_dots<T>(reinterpret_cast<const int8_t*>(panel + kLanes * 4), tokens, sums, dots);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const VF weight_scale = load_half(panel + v * kWidth * 2);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t)
        totals[t][v] =
            hn::MulAdd(hn::ConvertTo(kF, dots[t][v]), hn::Mul(weight_scale, hn::Set(kF, scales[t])), totals[t][v]);
      if constexpr (kHasMin) {
        const VF minimum = load_half(panel + kPanelScaleBytes + v * kWidth * 2);
#pragma GCC unroll 16
        for (int t = 0; t < T; ++t)
          totals[t][v] = hn::MulAdd(minimum, hn::Set(kF, scales[t] * static_cast<float>(sums[t])), totals[t][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) {
    float* out = c + t * ldc;
    if (columns >= kLanes) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) hn::StoreU(totals[t][v], kF, out + v * kWidth);
    } else {
      float whole[kLanes];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) hn::StoreU(totals[t][v], kF, whole + v * kWidth);
      for (int j = 0; j < columns; ++j) out[j] = whole[j];
    }
  }
}

using Int8Function = void (*)(const Int8Rows&, int, int, const uint8_t*, int, float*, ptrdiff_t);
template <bool kHasMin, int... T>
constexpr std::array<Int8Function, sizeof...(T)> int8_functions(std::integer_sequence<int, T...>) {
  return {int8_tile<T + 1, kHasMin>...};
}
constexpr auto kInt8Tile = int8_functions<false>(std::make_integer_sequence<int, kTileTokens>());
constexpr auto kInt8TileMin = int8_functions<true>(std::make_integer_sequence<int, kTileTokens>());

void int8_gemm(const Int8Rows& x, int m, int blocks, const uint8_t* w, bool has_min, int n, float* c, ptrdiff_t ldc) {
  const auto& tiles = has_min ? kInt8TileMin : kInt8Tile;
  for (int column = 0; column < n; column += kLanes) {
    const uint8_t* panel = w + static_cast<ptrdiff_t>(column / kLanes) * blocks * kPanelBlockBytes;
    for (int row = 0; row < m; row += kTileTokens) {
      const int tokens = std::min(kTileTokens, m - row);
      tiles[static_cast<size_t>(tokens - 1)](x, row, blocks, panel, n - column, c + row * ldc + column, ldc);
    }
  }
}

void quantise(const float* x, int blocks, int8_t* q, float* scales, int32_t* sums) {
  for (int block = 0; block < blocks; ++block, x += kBlock, q += kBlock) {
    VF largest = hn::Zero(kF);
    for (int i = 0; i < kBlock; i += kWidth) largest = hn::Max(largest, hn::Abs(hn::LoadU(kF, x + i)));
    const float top = hn::GetLane(hn::MaxOfLanes(kF, largest));
    const VF inverse = hn::Set(kF, top > 0 ? 127.0f / top : 0.0f);
    scales[block] = top / 127.0f;
    int32_t whole[kBlock];
    VI sum = hn::Zero(kI);
    for (int i = 0; i < kBlock; i += kWidth) {
      const VI value = hn::NearestInt(hn::Mul(hn::LoadU(kF, x + i), inverse));
      hn::StoreU(value, kI, whole + i);
      sum = hn::Add(sum, value);
    }
    for (int i = 0; i < kBlock; ++i) q[i] = static_cast<int8_t>(whole[i]);
    sums[block] = hn::GetLane(hn::SumOfLanes(kI, sum));
  }
}

// Whole groups of kLanes go through registers; what is left over is done one by one with the same operations.
constexpr int whole_lanes(int n) { return n / kLanes * kLanes; }

void rms_norm(const float* x, const float* weight, int n, float eps, float* y) {
  VF squares[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) squares[v] = hn::Zero(kF);
  const int whole = whole_lanes(n);
  for (int i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const VF value = hn::LoadU(kF, x + i + v * kWidth);
      squares[v] = hn::MulAdd(value, value, squares[v]);
    }
  float all[kLanes];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) hn::StoreU(squares[v], kF, all + v * kWidth);
  for (int i = whole; i < n; ++i) all[i - whole] = __builtin_fmaf(x[i], x[i], all[i - whole]);
  const float inverse = 1.0f / __builtin_sqrtf(sum_lanes(all) / static_cast<float>(n) + eps);
  const VF factor = hn::Set(kF, inverse);
  const int vectors = n / kWidth * kWidth;
  for (int i = 0; i < vectors; i += kWidth)
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(kF, x + i), factor), hn::LoadU(kF, weight + i)), kF, y + i);
  for (int i = vectors; i < n; ++i) y[i] = x[i] * inverse * weight[i];
}

void rope(float* x, const float* cosine, const float* sine, int half) {
  const int vectors = half / kWidth * kWidth;
  for (int i = 0; i < vectors; i += kWidth) {
    const VF first = hn::LoadU(kF, x + i), second = hn::LoadU(kF, x + half + i);
    const VF c = hn::LoadU(kF, cosine + i), s = hn::LoadU(kF, sine + i);
    hn::StoreU(hn::NegMulAdd(second, s, hn::Mul(first, c)), kF, x + i);
    hn::StoreU(hn::MulAdd(first, s, hn::Mul(second, c)), kF, x + half + i);
  }
  for (int i = vectors; i < half; ++i) {
    const float first = x[i], second = x[i + half];
    x[i] = __builtin_fmaf(-second, sine[i], first * cosine[i]);
    x[i + half] = __builtin_fmaf(first, sine[i], second * cosine[i]);
  }
}

VF exp_vector(VF x) {
  const VF clamped = hn::Min(hn::Max(x, hn::Set(kF, kExpLow)), hn::Set(kF, kExpHigh));
  const VI whole = hn::NearestInt(hn::Mul(clamped, hn::Set(kF, kLog2E)));
  const VF n = hn::ConvertTo(kF, whole);
  VF r = hn::MulAdd(n, hn::Set(kF, -kLn2High), clamped);
  r = hn::MulAdd(n, hn::Set(kF, -kLn2Low), r);
  VF p = hn::Set(kF, kExp0);
  p = hn::MulAdd(p, r, hn::Set(kF, kExp1));
  p = hn::MulAdd(p, r, hn::Set(kF, kExp2));
  p = hn::MulAdd(p, r, hn::Set(kF, kExp3));
  p = hn::MulAdd(p, r, hn::Set(kF, kExp4));
  p = hn::MulAdd(p, r, hn::Set(kF, kExp5));
  p = hn::MulAdd(p, hn::Mul(r, r), hn::Add(r, hn::Set(kF, 1.0f)));
  const VI power = hn::ShiftLeft<23>(hn::Add(whole, hn::Set(kI, 127)));
  const VF value = hn::Mul(p, hn::BitCast(kF, power));
  return hn::IfThenElseZero(hn::Ge(x, hn::Set(kF, kExpLow)), value);
}

void silu_mul(const float* gate, const float* up, int n, float* out) {
  const VF one = hn::Set(kF, 1.0f);
  const int vectors = n / kWidth * kWidth;
  for (int i = 0; i < vectors; i += kWidth) {
    const VF g = hn::LoadU(kF, gate + i);
    const VF s = hn::Div(g, hn::Add(one, exp_vector(hn::Neg(g))));
    hn::StoreU(hn::Mul(s, hn::LoadU(kF, up + i)), kF, out + i);
  }
  for (int i = vectors; i < n; ++i) out[i] = silu_mul_one(gate[i], up[i]);
}

void add(float* x, const float* y, int n) {
  const int vectors = n / kWidth * kWidth;
  for (int i = 0; i < vectors; i += kWidth) hn::StoreU(hn::Add(hn::LoadU(kF, x + i), hn::LoadU(kF, y + i)), kF, x + i);
  for (int i = vectors; i < n; ++i) x[i] += y[i];
}

// Largest of x * scale.
float largest_scaled(const float* x, int n, float scale) {
  float top = x[0] * scale;
  const int vectors = n / kWidth * kWidth;
  const VF factor = hn::Set(kF, scale);
  VF tops = hn::Set(kF, top);
  for (int i = 0; i < vectors; i += kWidth) tops = hn::Max(tops, hn::Mul(hn::LoadU(kF, x + i), factor));
  top = hn::GetLane(hn::MaxOfLanes(kF, tops));
  for (int i = vectors; i < n; ++i) top = std::max(top, x[i] * scale);
  return top;
}

// Sum of exp(x * scale - largest); where out is not null the exponentials go there. Lanes count from x.
float sum_exp(const float* x, int n, float scale, float largest, float* out) {
  VF sums[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(kF);
  const VF factor = hn::Set(kF, scale), top = hn::Set(kF, largest);
  const int whole = whole_lanes(n);
  for (int i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const VF e = exp_vector(hn::Sub(hn::Mul(hn::LoadU(kF, x + i + v * kWidth), factor), top));
      sums[v] = hn::Add(sums[v], e);
      if (out != nullptr) hn::StoreU(e, kF, out + i + v * kWidth);
    }
  float all[kLanes];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], kF, all + v * kWidth);
  for (int i = whole; i < n; ++i) {
    const float e = exp_one(x[i] * scale - largest);
    all[i - whole] += e;
    if (out != nullptr) out[i] = e;
  }
  return sum_lanes(all);
}

void softmax(float* x, int n, float scale) {
  const float largest = largest_scaled(x, n, scale);
  const float inverse = 1.0f / sum_exp(x, n, scale, largest, x);
  const VF factor = hn::Set(kF, inverse);
  const int vectors = n / kWidth * kWidth;
  for (int i = 0; i < vectors; i += kWidth) hn::StoreU(hn::Mul(hn::LoadU(kF, x + i), factor), kF, x + i);
  for (int i = vectors; i < n; ++i) x[i] *= inverse;
}

double log_sum_exp(const float* x, int n, float scale) {
  const float largest = largest_scaled(x, n, scale);
  double total = 0;
  for (int start = 0; start < n; start += kSumChunk)
    total += static_cast<double>(sum_exp(x + start, std::min(kSumChunk, n - start), scale, largest, nullptr));
  return static_cast<double>(largest) + std::log(total);
}

void unpack_f16(const uint16_t* x, int64_t n, float* out) {
  const int64_t vectors = n / kWidth * kWidth;
  for (int64_t i = 0; i < vectors; i += kWidth)
    hn::StoreU(load_half(reinterpret_cast<const uint8_t*>(x + i)), kF, out + i);
  for (int64_t i = vectors; i < n; ++i) out[i] = half_to_float(x[i]);
}

void unpack_bf16(const uint16_t* x, int64_t n, float* out) {
  const hn::Rebind<uint16_t, F> narrow;
  const hn::RebindToUnsigned<F> wide;
  const int64_t vectors = n / kWidth * kWidth;
  for (int64_t i = 0; i < vectors; i += kWidth) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, x + i)));
    hn::StoreU(hn::BitCast(kF, bits), kF, out + i);
  }
  for (int64_t i = vectors; i < n; ++i) out[i] = float_of_bits(static_cast<uint32_t>(x[i]) << 16);
}
