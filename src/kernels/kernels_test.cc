// Every compiled instruction set against the scalar reference, bit by bit, at all counts and misalignments; the scalar
// reference against plain double arithmetic; and the promise that a row's bits depend on nothing but the row.
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "base/task_pool.h"
#include "kernels/attention.h"
#include "kernels/isa_list.h"
#include "kernels/matrix.h"

namespace retort::kernels {
namespace {

std::vector<float> normals(size_t n, uint64_t seed, float scale = 1) {
  Random random(seed);
  std::vector<float> out(n);
  for (float& x : out) x = static_cast<float>(random.normal()) * scale;
  return out;
}

// The bits of floats, so that NaN and signed zeros count.
std::vector<uint32_t> bits(const float* x, size_t n) {
  std::vector<uint32_t> out(n);
  if (n > 0) std::memcpy(out.data(), x, n * 4);
  return out;
}
std::vector<uint32_t> bits(const std::vector<float>& x) { return bits(x.data(), x.size()); }

class EachIsa : public ::testing::TestWithParam<const Isa*> {
 protected:
  void SetUp() override {
    if (!GetParam()->supported()) GTEST_SKIP() << "this CPU lacks " << GetParam()->name;
  }
  const Isa& isa_ = *GetParam();
  const Isa& reference_ = scalar_isa();
};
INSTANTIATE_TEST_SUITE_P(Kernels, EachIsa, ::testing::ValuesIn(compiled_isas()),
                         [](const auto& parameter) { return std::string(parameter.param->name); });

constexpr int kCounts = 2 * kLanes + 2;

TEST_P(EachIsa, ElementwiseEqualsReferenceAtAllCountsAndMisalignments) {
  for (int n = 1; n <= kCounts; ++n) {
    for (int shift = 0; shift < 4; ++shift) {
      const auto x = normals(static_cast<size_t>(n + shift), 1 + static_cast<uint64_t>(n), 4);
      const auto y = normals(static_cast<size_t>(n + shift), 1000 + static_cast<uint64_t>(n));
      auto a = x, b = x;
      isa_.add(a.data() + shift, y.data() + shift, n);
      reference_.add(b.data() + shift, y.data() + shift, n);
      ASSERT_EQ(bits(a), bits(b)) << "add " << n << " " << shift;
      isa_.silu_mul(x.data() + shift, y.data() + shift, n, a.data() + shift);
      reference_.silu_mul(x.data() + shift, y.data() + shift, n, b.data() + shift);
      ASSERT_EQ(bits(a), bits(b)) << "silu_mul " << n << " " << shift;
      isa_.rms_norm(x.data() + shift, y.data() + shift, n, 1e-5f, a.data() + shift);
      reference_.rms_norm(x.data() + shift, y.data() + shift, n, 1e-5f, b.data() + shift);
      ASSERT_EQ(bits(a), bits(b)) << "rms_norm " << n << " " << shift;
      a = b = x;
      isa_.softmax(a.data() + shift, n, 0.7f);
      reference_.softmax(b.data() + shift, n, 0.7f);
      ASSERT_EQ(bits(a), bits(b)) << "softmax " << n << " " << shift;
      ASSERT_EQ(isa_.log_sum_exp(x.data() + shift, n, 1.3f), reference_.log_sum_exp(x.data() + shift, n, 1.3f)) << n;
      const auto angles = normals(static_cast<size_t>(n), 77);
      auto p = normals(static_cast<size_t>(2 * n + shift), 5), q = p;
      isa_.rope(p.data() + shift, angles.data(), y.data() + shift, n);
      reference_.rope(q.data() + shift, angles.data(), y.data() + shift, n);
      ASSERT_EQ(bits(p), bits(q)) << "rope " << n << " " << shift;
    }
  }
  const auto long_row = normals(5000, 3, 3);
  ASSERT_EQ(isa_.log_sum_exp(long_row.data(), 5000, 1), reference_.log_sum_exp(long_row.data(), 5000, 1));
}

TEST_P(EachIsa, UnpacksEverySixteenBitPattern) {
  std::vector<uint16_t> all(65536 + 3);
  std::iota(all.begin(), all.end(), static_cast<uint16_t>(0));
  std::vector<float> a(all.size()), b(all.size());
  isa_.unpack_f16(all.data(), static_cast<int64_t>(all.size()), a.data());
  reference_.unpack_f16(all.data(), static_cast<int64_t>(all.size()), b.data());
  ASSERT_EQ(bits(a), bits(b));
  isa_.unpack_bf16(all.data(), static_cast<int64_t>(all.size()), a.data());
  reference_.unpack_bf16(all.data(), static_cast<int64_t>(all.size()), b.data());
  ASSERT_EQ(bits(a), bits(b));
}

TEST_P(EachIsa, GemmEqualsReference) {
  const auto a = normals(40 * 620, 11), w = normals(5 * 620 * kLanes, 12);
  for (const int k : {1, 2, 15, 16, 17, 64, 255, 256, 257, 600}) {
    for (int m = 1; m <= 26; m += m < 14 ? 1 : 4) {
      for (const int n : {1, 15, 16, 17, 33, 80}) {
        for (const bool accumulate : {false, true}) {
          const Panels b{w.data() + 1, kLanes, static_cast<ptrdiff_t>(k) * kLanes};
          std::vector<float> c(static_cast<size_t>(m) * 83, 0.5f), d = c;
          isa_.gemm(a.data() + 1, 613, m, k, b, n, c.data() + 1, 83, accumulate);
          reference_.gemm(a.data() + 1, 613, m, k, b, n, d.data() + 1, 83, accumulate);
          ASSERT_EQ(bits(c), bits(d)) << "m " << m << " k " << k << " n "
                                      << n;  // nothing outside [m][n] touched either
        }
      }
    }
  }
}

struct Quantised {
  std::vector<int8_t> q;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  Quantised(const Isa& with, const std::vector<float>& x)
      : q(x.size()), scales(x.size() / kBlock), sums(x.size() / kBlock) {
    with.quantise(x.data(), static_cast<int>(scales.size()), q.data(), scales.data(), sums.data());
  }
};

TEST_P(EachIsa, QuantiseEqualsReferenceAndStaysWithinHalfAStep) {
  auto x = normals(kBlock * 64, 21, 10);
  std::fill(x.begin(), x.begin() + kBlock, 0.0f);  // a block of zeros
  for (int i = 0; i < kBlock; ++i) x[static_cast<size_t>(kBlock + i)] = static_cast<float>(i) - 15.5f;  // ties
  const Quantised a(isa_, x), b(reference_, x);
  ASSERT_EQ(a.q, b.q);
  ASSERT_EQ(bits(a.scales), bits(b.scales));
  ASSERT_EQ(a.sums, b.sums);
  for (size_t i = 0; i < x.size(); ++i) {
    const float scale = a.scales[i / kBlock];
    ASSERT_LE(std::fabs(x[i] - scale * a.q[i]), scale * 0.5001f) << i;
  }
}

// int8 weights with the extremes -128 and 127 in every position.
Matrix extreme_matrix(MatrixKind kind, int rows, int k, TaskPool& pool) {
  return Matrix::pack_int8(
      kind, rows, k,
      [&](int row, const Int8Row& out) {
        Random random(31, static_cast<uint64_t>(row));
        for (int i = 0; i < k; ++i)
          out.q[i] = static_cast<int8_t>(random.below(4) == 0 ? (random.below(2) != 0 ? -128 : 127)
                                                              : random.between(-128, 127));
        for (int i = 0; i < k / kBlock; ++i) {
          out.scales[i] = static_cast<uint16_t>(0x1c00 + random.below(0x400));  // 2^-8 to 2^-7
          out.minima[i] = static_cast<uint16_t>(0x9c00 + random.below(0x400));
        }
      },
      pool);
}

TEST_P(EachIsa, Int8GemmEqualsReferenceAtTheExtremes) {
  TaskPool pool(1);
  for (const MatrixKind kind : {MatrixKind::Int8, MatrixKind::Int8Min}) {
    for (const int blocks : {1, 2, 18}) {
      const int k = blocks * kBlock;
      const Matrix w = extreme_matrix(kind, 40, k, pool);
      auto x = normals(static_cast<size_t>(19 * k), 41);
      for (size_t i = 0; i < x.size(); i += 3) x[i] = i % 2 != 0 ? 5.0f : -5.0f;  // many of +-127
      const Quantised q(reference_, x);
      for (int m = 1; m <= 19; ++m) {
        for (const int n : {1, 15, 16, 17, 40}) {
          std::vector<float> c(static_cast<size_t>(m) * 43, 0.5f), d = c;
          const Int8Rows rows{q.q.data(), q.scales.data(), q.sums.data()};
          isa_.int8_gemm(rows, m, blocks, w.data(), kind == MatrixKind::Int8Min, n, c.data() + 1, 43);
          reference_.int8_gemm(rows, m, blocks, w.data(), kind == MatrixKind::Int8Min, n, d.data() + 1, 43);
          ASSERT_EQ(bits(c), bits(d)) << "m " << m << " blocks " << blocks << " n " << n;
        }
      }
    }
  }
}

TEST(ScalarReference, AgreesWithDoubleArithmetic) {
  const Isa& r = scalar_isa();
  const int n = 613;
  const auto x = normals(n, 51, 3), y = normals(n, 52);
  std::vector<float> out(n);
  double squares = 0, total = 0, top = -1e30;
  for (const float v : x) squares += double(v) * v, top = std::max(top, double(v));
  for (const float v : x) total += std::exp(v - top);
  r.rms_norm(x.data(), y.data(), n, 1e-5f, out.data());
  for (size_t i = 0; i < n; ++i)
    ASSERT_NEAR(out[i], x[i] / std::sqrt(squares / n + 1e-5) * y[i], 2e-6 * std::fabs(out[i]) + 1e-9);
  r.silu_mul(x.data(), y.data(), n, out.data());
  for (size_t i = 0; i < n; ++i)
    ASSERT_NEAR(out[i], x[i] / (1 + std::exp(-double(x[i]))) * y[i], 1e-6 * std::fabs(out[i]) + 1e-12);
  ASSERT_NEAR(r.log_sum_exp(x.data(), n, 1), top + std::log(total), 2e-7);
  out = x;
  r.softmax(out.data(), n, 1);
  for (size_t i = 0; i < n; ++i) ASSERT_NEAR(out[i], std::exp(x[i] - top) / total, 1e-6 * out[i] + 1e-12);
  for (float v = -87; v < 88; v += 0.0137f) {  // exp through silu: x / (1 + e^-x)
    float one = 1, gate = v, got;
    r.silu_mul(&gate, &one, 1, &got);
    const double want = double(v) / (1 + std::exp(-double(v)));
    ASSERT_NEAR(got, want, 4e-7 * std::fabs(want)) << v;
  }
  float extremes[3] = {-std::numeric_limits<float>::infinity(), 0, -1000};
  r.softmax(extremes, 3, 1);
  EXPECT_EQ(extremes[0], 0);
  EXPECT_EQ(extremes[1], 1);
  EXPECT_EQ(extremes[2], 0);
}

Matrix test_matrix(MatrixKind kind, int rows, int k, TaskPool& pool) {
  if (kind == MatrixKind::F32)
    return Matrix::pack_f32(
        rows, k,
        [&](int row, float* out) {
          const auto x = normals(static_cast<size_t>(k), 100 + static_cast<uint64_t>(row));
          std::copy(x.begin(), x.end(), out);
        },
        pool);
  if (kind == MatrixKind::F16 || kind == MatrixKind::BF16)
    return Matrix::pack_16(
        kind, rows, k,
        [&](int row, uint16_t* out) {
          Random random(7, static_cast<uint64_t>(row));
          for (int i = 0; i < k; ++i)
            out[i] = static_cast<uint16_t>((random.below(2) << 15) | (0x3800 + random.below(0x400)));
        },
        pool);
  return extreme_matrix(kind, rows, k, pool);
}

// Weight (row, i) read back from the layout that matrix.h documents.
double weight_at(const Matrix& w, int row, int i) {
  const uint8_t* panel = w.data() + row / kLanes * w.panel_bytes();
  const int lane = row % kLanes;
  const auto half = [](const uint8_t* p) {
    float out;
    uint16_t b;
    std::memcpy(&b, p, 2);
    scalar_isa().unpack_f16(&b, 1, &out);
    return double(out);
  };
  if (w.int8()) {
    const uint8_t* block = panel + i / kBlock * kPanelBlockBytes;
    const int within = i % kBlock;
    const double q = static_cast<int8_t>(block[64 + within / 4 * 64 + lane * 4 + within % 4]);
    return half(block + lane * 2) * q + (w.kind() == MatrixKind::Int8Min ? half(block + 32 + lane * 2) : 0);
  }
  if (w.kind() == MatrixKind::F32) return reinterpret_cast<const float*>(panel)[i * kLanes + lane];
  if (w.kind() == MatrixKind::F16) return half(panel + (i * kLanes + lane) * 2);
  float out;
  scalar_isa().unpack_bf16(reinterpret_cast<const uint16_t*>(panel) + i * kLanes + lane, 1, &out);
  return double(out);
}

class EachKind : public ::testing::TestWithParam<MatrixKind> {};
INSTANTIATE_TEST_SUITE_P(Kernels, EachKind,
                         ::testing::Values(MatrixKind::F32, MatrixKind::F16, MatrixKind::BF16, MatrixKind::Int8,
                                           MatrixKind::Int8Min));

TEST_P(EachKind, LinearIsBatchAndThreadInvariantAndRight) {
  const int k = 288, n1 = 100, n2 = 37, most = 300, ldy = 140;
  TaskPool one(1), two(2), three(3);
  const Matrix a = test_matrix(GetParam(), n1, k, three), b = test_matrix(GetParam(), n2, k, one);
  const auto x = normals(static_cast<size_t>(most * k), 61);
  Activations scratch;
  std::vector<float> alone(static_cast<size_t>(most * ldy));
  for (int row = 0; row < most; ++row) {
    const Product products[] = {{&a, alone.data() + row * ldy, ldy}, {&b, alone.data() + row * ldy + n1, ldy}};
    linear(one, x.data() + row * k, k, 1, products, scratch);
  }
  for (TaskPool* pool : {&one, &two, &three}) {
    for (const int m : {1, 2, 3, 4, 5, 6, 7, 32, most}) {
      std::vector<float> y(alone.size());
      const Product products[] = {{&a, y.data(), ldy}, {&b, y.data() + n1, ldy}};
      linear(*pool, x.data(), k, m, products, scratch);
      ASSERT_EQ(bits(y.data(), static_cast<size_t>(m * ldy)), bits(alone.data(), static_cast<size_t>(m * ldy)))
          << "m " << m << " threads " << pool->threads();
    }
  }
  // Against double arithmetic: fp32 rounding, or half a step of the 8-bit activations (scaled by |w|) where int8.
  for (int row = 0; row < 3; ++row) {
    for (int j = 0; j < n1; ++j) {
      double want = 0, size = 0;
      for (int i = 0; i < k; ++i) {
        const double w = weight_at(a, j, i), v = x[static_cast<size_t>(row * k + i)];
        want += w * v;
        size += w * w;
      }
      const double tolerance = a.int8() ? 0.05 * std::sqrt(size) : 1e-5 * std::sqrt(size);
      ASSERT_NEAR(alone[static_cast<size_t>(row * ldy + j)], want, tolerance) << row << " " << j;
    }
  }
}

TEST(Attention, EqualsDoubleArithmeticAndDoesNotDependOnTheChunk) {
  const KvShape shape{2, 24};  // a head dimension that is no multiple of 16
  const int group = 3, length = 2 * kPagePositions + 37, dim = shape.head_dim, stride = 2 * group * dim;
  const auto q = normals(static_cast<size_t>(length * stride), 71),
             k = normals(static_cast<size_t>(length * 2 * dim), 72),
             v = normals(static_cast<size_t>(length * 2 * dim), 73);
  std::vector<std::vector<float>> memory(3, std::vector<float>(static_cast<size_t>(shape.layer_floats())));
  std::vector<const float*> pages;
  for (auto& page : memory) pages.push_back(page.data());
  for (int p = 0; p < length; ++p)
    for (int h = 0; h < 2; ++h)
      put_kv(shape, memory[static_cast<size_t>(p / kPagePositions)].data(), h, p % kPagePositions,
             k.data() + (p * 2 + h) * dim, v.data() + (p * 2 + h) * dim);
  std::vector<float> alone(q.size()), out(q.size());
  const auto run = [&](std::vector<float>& into, int chunk) {
    for (int start = 0; start < length; start += chunk)
      for (int h = 0; h < 2; ++h)
        attend(shape, pages, h, group, start, std::min(chunk, length - start),
               q.data() + start * stride + h * group * dim, stride, into.data() + start * stride + h * group * dim,
               stride);
  };
  run(alone, 1);
  for (const int chunk : {2, 5, 64, 300, length}) {
    run(out, chunk);
    ASSERT_EQ(bits(out), bits(alone)) << chunk;
  }
  for (const int t : {0, 1, 15, 16, 255, 256, 257, length - 1}) {
    for (int head = 0; head < 2 * group; ++head) {
      std::vector<double> weight(static_cast<size_t>(t + 1)), want(static_cast<size_t>(dim));
      double total = 0;
      for (int p = 0; p <= t; ++p) {
        double dot = 0;
        for (int i = 0; i < dim; ++i)
          dot += double(q[static_cast<size_t>(t * stride + head * dim + i)]) *
                 k[static_cast<size_t>((p * 2 + head / group) * dim + i)];
        total += weight[static_cast<size_t>(p)] = std::exp(dot / std::sqrt(double(dim)));
      }
      for (int p = 0; p <= t; ++p)
        for (int i = 0; i < dim; ++i)
          want[static_cast<size_t>(i)] +=
              weight[static_cast<size_t>(p)] / total * v[static_cast<size_t>((p * 2 + head / group) * dim + i)];
      for (int i = 0; i < dim; ++i)
        ASSERT_NEAR(alone[static_cast<size_t>(t * stride + head * dim + i)], want[static_cast<size_t>(i)], 3e-6) << t;
    }
  }
}

TEST(Dispatch, ForcesAndRefusesByName) {
  for (const Isa* candidate : compiled_isas()) {
    if (!candidate->supported()) continue;
    ASSERT_TRUE(force_isa(candidate->name).ok());
    EXPECT_EQ(&isa(), candidate);
  }
  const Status refused = force_isa("avx9000");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::Invalid);
  EXPECT_NE(refused.error().message.find("avx9000"), std::string::npos);
  EXPECT_NE(refused.error().message.find("scalar"), std::string::npos);
  ASSERT_TRUE(force_isa("").ok());
}

}  // namespace
}  // namespace retort::kernels
