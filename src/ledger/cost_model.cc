#include "ledger/cost_model.h"

#include <algorithm>
#include <cmath>

namespace retort::ledger {

double forward_flops(const ModelShape& shape, double context) {
  return 2.0 * static_cast<double>(shape.parameters) +
         4.0 * static_cast<double>(shape.layers) * static_cast<double>(shape.width) * context;
}

double sequence_flops(const ModelShape& shape, int64_t length) {
  const double n = static_cast<double>(std::max<int64_t>(length, 0));
  return n * forward_flops(shape, (n + 1) / 2);  // the mean context of tokens 1 .. n
}

double training_flops(const ModelShape& shape, int64_t length) { return 3 * sequence_flops(shape, length); }

UsdMicros local_cost(double seconds, UsdMicros usd_per_hour) {
  const double cost = std::ceil(std::max(seconds, 0.0) / 3600.0 * static_cast<double>(usd_per_hour.micros()));
  if (!(cost < 9e18)) return UsdMicros::most();
  return static_cast<int64_t>(cost);
}

}  // namespace retort::ledger
