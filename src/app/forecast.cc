#include "app/forecast.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/task_pool.h"
#include "kernels/matrix.h"
#include "model/model.h"
#include "record/stream.h"

namespace retort::app {

Result<Expected> expect_file(const StepContext& context, const std::string& path, int64_t limit) {
  Expected found;
  if (context.env.exists(path)) {
    RETORT_ASSIGN(const auto lines, open_lines(path));
    for (;;) {
      RETORT_ASSIGN(const auto line, lines->next());
      if (!line) break;
      found.records += 1;
      found.bytes += static_cast<double>(line->size());
    }
  } else if (const auto it = context.expected.find(path); it != context.expected.end()) {
    found = it->second;
  }
  if (limit > 0 && found.records > static_cast<double>(limit)) {
    found.bytes *= static_cast<double>(limit) / found.records;
    found.records = static_cast<double>(limit);
  }
  return found;
}

Result<double> expect_parameters(const StepContext& context, const std::string& path) {
  if (const auto it = context.expected.find(path); it != context.expected.end()) return it->second.parameters;
  if (!context.env.exists(path)) return 0.0;
  RETORT_ASSIGN(const auto weights, model::load_weights(path));
  return static_cast<double>(model::parameter_count(weights.config));
}

double machine_flops() {
  static const double measured = [] {
    constexpr int kRows = 256, kWidth = 512;
    TaskPool pool;
    const auto weights =
        kernels::Matrix::pack_f32(kWidth, kWidth, [](int, float* row) { std::fill(row, row + kWidth, 1.0f); }, pool);
    std::vector<float> x(kRows * kWidth, 1.0f), y(kRows * kWidth);
    kernels::Activations scratch;
    const kernels::Product product{&weights, y.data(), kWidth};
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto start = now();
    int rounds = 0;
    while (now() - start < std::chrono::milliseconds(50)) {
      kernels::linear(pool, x.data(), kWidth, kRows, {&product, 1}, scratch);
      ++rounds;
    }
    const double seconds = std::chrono::duration<double>(now() - start).count();
    return 2.0 * kRows * kWidth * kWidth * rounds / seconds;
  }();
  return measured;
}

}  // namespace retort::app
