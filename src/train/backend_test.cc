// The trainer's arithmetic against finite differences, against itself (packed and not, chunked and not, again) and
// against AdamW in double precision. tests/test_train.py holds it against PyTorch.
#include "train/backend.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "train/tiny_model.h"

namespace retort::train {
namespace {

using testing::open;
using testing::random_batch;
using testing::tiny_shape;
using testing::tiny_spec;

std::vector<float> copy(std::span<float> floats) { return {floats.begin(), floats.end()}; }

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

double norm(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

// For each parameter: the loss's slope along its gradient must be the gradient's norm. A direction with a large slope
// keeps fp32 noise small against the difference.
void expect_gradients(Backend& backend, const MicroBatch& batch) {
  ASSERT_TRUE(backend.accumulate(batch, 1.0).ok());
  const std::vector<float> gradient = copy(backend.part(Part::Gradient));
  const std::vector<float> weights = copy(backend.part(Part::Weights));
  for (const Param& p : backend.layout().params) {
    const std::span<const float> g(gradient.data() + p.offset, static_cast<size_t>(p.size()));
    const double length = norm(g);
    ASSERT_GT(length, 1e-4) << p.name << " gets no gradient";
    const double step = 0.02 / std::sqrt(static_cast<double>(p.size()));
    const auto at = [&](double sign) {
      const std::span<float> w = backend.part(Part::Weights);
      for (size_t i = 0; i < g.size(); ++i) {
        const auto j = static_cast<size_t>(p.offset) + i;
        w[j] = static_cast<float>(static_cast<double>(weights[j]) + sign * step * static_cast<double>(g[i]) / length);
      }
      const auto loss = backend.loss(batch);
      EXPECT_TRUE(loss.ok());
      std::memcpy(w.data(), weights.data(), weights.size() * sizeof(float));
      return *loss;
    };
    EXPECT_NEAR((at(1) - at(-1)) / (2 * step), length, 0.01 * length + 1e-3) << p.name;
  }
}

TEST(Backend, GradientsAreTheLossSlopesTied) {
  const auto backend = open(tiny_spec(tiny_shape(true)));
  expect_gradients(*backend, random_batch({7, 1, 12, 30}, 37, 2));
}

TEST(Backend, GradientsAreTheLossSlopesUntied) {
  const auto backend = open(tiny_spec(tiny_shape(false)));
  expect_gradients(*backend, random_batch({9, 23}, 37, 3));
}

TEST(Backend, GradientsAcrossQueryBlocks) {
  const auto backend = open(tiny_spec(tiny_shape(true)));
  expect_gradients(*backend, random_batch({300, 129}, 37, 4));
}

TEST(Backend, GradientsOfAdapters) {
  BackendSpec spec = tiny_spec(tiny_shape());
  spec.lora = {3, 6.0, {"q_proj", "v_proj", "o_proj", "up_proj", "down_proj"}};
  const auto backend = open(std::move(spec));
  ASSERT_EQ(backend->layout().params.size(), 2u * 5 * 2);
  Random random(9);
  for (float& w : backend->part(Part::Weights)) w = static_cast<float>(0.2 * random.normal());
  expect_gradients(*backend, random_batch({7, 12, 30}, 37, 5));
}

TEST(Backend, PackedEqualsUnpacked) {
  const std::vector<int> lengths = {5, 40, 1, 133, 18};
  const MicroBatch packed = random_batch(lengths, 37, 6);
  const auto whole = open(tiny_spec(tiny_shape())), single = open(tiny_spec(tiny_shape()));
  const auto loss = whole->accumulate(packed, 1.0);
  ASSERT_TRUE(loss.ok());
  double sum = 0;
  int64_t count = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    MicroBatch one;
    for (int32_t i = packed.starts[s]; i < packed.starts[s + 1]; ++i) {
      one.ids.push_back(packed.ids[static_cast<size_t>(i)]);
      one.targets.push_back(packed.targets[static_cast<size_t>(i)]);
      count += one.targets.back() >= 0;
    }
    one.starts = {0, static_cast<int32_t>(one.ids.size())};
    const auto part = single->accumulate(one, 1.0);
    ASSERT_TRUE(part.ok());
    sum += *part;
  }
  EXPECT_NEAR(*loss / static_cast<double>(count), sum / static_cast<double>(count), 1e-5);
  EXPECT_LT(difference(copy(whole->part(Part::Gradient)), copy(single->part(Part::Gradient))),
            1e-5 * norm(whole->part(Part::Gradient)));
}

TEST(Backend, SegmentsDoNotSeeEachOther) {
  const auto backend = open(tiny_spec(tiny_shape()));
  MicroBatch batch = random_batch({20, 20}, 37, 7);
  for (size_t i = 0; i < 20; ++i) batch.targets[i] = -1;  // only the second is in the loss
  const double before = *backend->loss(batch);
  for (size_t i = 0; i < 20; ++i) batch.ids[i] = (batch.ids[i] + 5) % 37;
  EXPECT_EQ(before, *backend->loss(batch));
}

TEST(Backend, ChunksOfTheHeadDoNotMatter) {
  const MicroBatch batch = random_batch({50, 31}, 37, 8);
  BackendSpec small = tiny_spec(tiny_shape(false));
  small.logit_floats = 37 * 3;
  const auto a = open(tiny_spec(tiny_shape(false))), b = open(std::move(small));
  EXPECT_NEAR(*a->accumulate(batch, 0.1), *b->accumulate(batch, 0.1), 1e-4);
  EXPECT_LT(difference(copy(a->part(Part::Gradient)), copy(b->part(Part::Gradient))), 1e-5);
}

TEST(Backend, PeakStaysFarUnderTheLogits) {
  Shape shape = tiny_shape();
  shape.vocab = 49152;
  shape.hidden = 64;
  shape.head_dim = 16;
  shape.ffn = 128;
  BackendSpec spec;
  spec.shape = shape;
  spec.weights = testing::random_weights(shape, 1, 0.02);
  const auto backend = open(std::move(spec));
  const MicroBatch batch = random_batch({2048}, shape.vocab, 10);
  (void)backend->take_peak_bytes();
  ASSERT_TRUE(backend->accumulate(batch, 1e-3).ok());
  const int64_t peak = backend->take_peak_bytes(), logits = int64_t{2048} * shape.vocab * 4;
  EXPECT_LT(peak, logits / 6);
  EXPECT_GT(peak, int64_t{2048} * shape.hidden * 4) << "the counter counts nothing";
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

TEST(Backend, MemoryGoesBackWithTheBackend) {
  Shape shape = tiny_shape();
  shape.hidden = 256;
  shape.head_dim = 64;
  shape.ffn = 1024;
  BackendSpec spec;
  spec.shape = shape;
  spec.weights = testing::random_weights(shape, 1, 0.02);
  auto backend = open(std::move(spec));
  const int64_t before = resident_bytes();
  (void)backend->take_peak_bytes();
  ASSERT_TRUE(backend->accumulate(random_batch({4096}, shape.vocab, 10), 1e-3).ok());
  const int64_t peak = backend->take_peak_bytes();
  ASSERT_GT(peak, int64_t{64} << 20);
  ASSERT_GT(resident_bytes() - before, peak / 2) << "blocks are kept for the next step";
  backend.reset();
  EXPECT_LT(resident_bytes() - before, peak / 4);
}

// With equal threads, whatever else the process does: another backend with other threads, steps from another thread of
// the process, memory that lies elsewhere.
TEST(Backend, SameBytesAgain) {
  Shape shape = tiny_shape();
  shape.hidden = 96;
  shape.ffn = 256;
  shape.head_dim = 24;
  const auto train = [&](Backend& backend) {
    for (int64_t step = 1; step <= 3; ++step) {
      EXPECT_TRUE(backend.accumulate(random_batch({160, 25, 190}, 37, static_cast<uint64_t>(step)), 0.01).ok());
      Update update;
      update.step = step;
      update.lr = 1e-2;
      EXPECT_TRUE(backend.update(update).ok());
    }
    return copy(backend.part(Part::Weights));
  };
  const auto opened = [&](int threads) {
    BackendSpec spec = tiny_spec(shape);
    spec.threads = threads;
    return open(std::move(spec));
  };
  const std::vector<float> first = train(*opened(2));
  const auto same = [&](const std::vector<float>& weights) {
    return 0 == std::memcmp(first.data(), weights.data(), first.size() * sizeof(float));
  };
  const std::vector<char> shift(12345);
  const auto other = opened(2), single = opened(1);
  EXPECT_EQ(other->threads(), 2);
  std::vector<float> alone = train(*single);
  EXPECT_TRUE(same(train(*other))) << "beside a backend with one thread";
  const auto third = opened(2);
  std::vector<float> elsewhere;
  std::thread([&] { elsewhere = train(*third); }).join();
  EXPECT_TRUE(same(elsewhere)) << "from another thread of the process";
  for (size_t i = 0; i < first.size(); ++i) ASSERT_NEAR(alone[i], first[i], 1e-3) << "one thread differs by rounding";
}

TEST(Backend, AdamWInDoublePrecision) {
  const auto backend = open(tiny_spec(tiny_shape()));
  const std::vector<float> start = copy(backend->part(Part::Weights));
  std::vector<double> w(start.begin(), start.end()), m(w.size()), v(w.size());
  Random random(11);
  for (int64_t t = 1; t <= 10; ++t) {
    std::vector<double> g(w.size());
    const std::span<float> gradient = backend->part(Part::Gradient);
    double squares = 0;
    for (size_t i = 0; i < g.size(); ++i) {
      gradient[i] = static_cast<float>(random.normal() * std::pow(10.0, static_cast<double>(i % 5) - 4));
      g[i] = static_cast<double>(gradient[i]);
      squares += g[i] * g[i];
    }
    Update u;
    u.step = t;
    u.lr = 1e-2;
    u.weight_decay = 0.1;
    u.clip = 0.5;
    const auto length = backend->update(u);
    ASSERT_TRUE(length.ok());
    EXPECT_NEAR(*length, std::sqrt(squares), 1e-9 * *length);
    for (const Param& p : backend->layout().params)
      for (auto i = static_cast<size_t>(p.offset); i < static_cast<size_t>(p.offset + p.size()); ++i) {
        const double grad = g[i] * u.clip / (*length + 1e-6);
        m[i] = u.beta1 * m[i] + (1 - u.beta1) * grad;
        v[i] = u.beta2 * v[i] + (1 - u.beta2) * grad * grad;
        if (p.decay) w[i] *= 1 - u.lr * u.weight_decay;
        w[i] -= u.lr * m[i] / (1 - std::pow(u.beta1, static_cast<double>(t))) /
                (std::sqrt(v[i] / (1 - std::pow(u.beta2, static_cast<double>(t)))) + u.eps);
      }
  }
  double worst = 0;
  const std::span<float> now = backend->part(Part::Weights);
  for (size_t i = 0; i < w.size(); ++i) worst = std::max(worst, std::abs(w[i] - static_cast<double>(now[i])));
  EXPECT_LT(worst, 2e-6);
  EXPECT_EQ(norm(backend->part(Part::Gradient)), 0.0) << "update() clears the gradient";
}

TEST(Backend, RefusesWhatDoesNotFit) {
  const auto backend = open(tiny_spec(tiny_shape()));
  MicroBatch batch = random_batch({4}, 37, 1);
  batch.ids[2] = 37;
  EXPECT_EQ(backend->accumulate(batch, 1).error().code, Code::Invalid);
  batch = random_batch({4}, 37, 1);
  batch.starts = {0, 3};
  EXPECT_EQ(backend->loss(batch).error().code, Code::Invalid);
  BackendSpec spec = tiny_spec(tiny_shape());
  spec.weights.pop_back();
  EXPECT_EQ(open_backend(std::move(spec)).error().code, Code::Invalid);
  spec = tiny_spec(tiny_shape());
  spec.lora = {2, 4, {"k_prj"}};
  EXPECT_EQ(open_backend(std::move(spec)).error().code, Code::Invalid);
  for (float& g : backend->part(Part::Gradient)) g = INFINITY;
  EXPECT_EQ(backend->update({}).error().code, Code::Invalid);
}

}  // namespace
}  // namespace retort::train
