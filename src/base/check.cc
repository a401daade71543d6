#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace retort::detail {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "retort: defect at %s:%d: %s does not hold\n", file, line, condition);
  std::abort();
}

}  // namespace retort::detail
