#include "base/random.h"

#include <cmath>
#include <numbers>

namespace retort {

double Random::normal() {
  const uint64_t bits = next();
  const double u = (static_cast<double>(bits >> 32) + 1.0) * 0x1.0p-32;  // (0, 1]
  const double v = static_cast<double>(bits & 0xffffffffu) * 0x1.0p-32;
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

}  // namespace retort
