#include "kernels/isa.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "kernels/isa_list.h"

namespace retort::kernels {
namespace {

const Isa* best() {
  const Isa* found = compiled_isas().front();
  for (const Isa* candidate : compiled_isas())
    if (candidate->supported()) found = candidate;
  return found;
}

Result<const Isa*> find_isa(std::string_view name) {
  std::string usable;
  for (const Isa* candidate : compiled_isas()) {
    if (!candidate->supported()) continue;
    if (candidate->name == name) return candidate;
    usable += (usable.empty() ? "" : ", ") + std::string(candidate->name);
  }
  return fail(Code::Invalid,
              "instruction set `{}` is not in this build or not in this CPU; RETORT_ISA may be one of {}", name,
              usable);
}

std::atomic<const Isa*> g_forced{nullptr};

}  // namespace

const std::vector<const Isa*>& compiled_isas() {
  static const std::vector<const Isa*> all = {
      &scalar_isa(),
#if defined(__x86_64__)
      &avx2_isa(),   &avx512_isa(),
#endif
#if defined(__aarch64__)
      &neon_isa(),   &dotprod_isa(),
#endif
  };
  return all;
}

Status isa_status() {
  const char* wanted = std::getenv("RETORT_ISA");
  if (wanted == nullptr || *wanted == 0) return {};
  auto found = find_isa(wanted);
  if (!found.ok()) return std::move(found).error();
  return {};
}

const Isa& isa() {
  if (const Isa* forced = g_forced.load(std::memory_order_relaxed)) return *forced;
  static const Isa* const chosen = [] {
    const char* wanted = std::getenv("RETORT_ISA");
    if (wanted == nullptr || *wanted == 0) return best();
    auto found = find_isa(wanted);
    return found.ok() ? *found : best();
  }();
  return *chosen;
}

Status force_isa(std::string_view name) {
  if (name.empty()) {
    g_forced = best();
    return {};
  }
  RETORT_ASSIGN(const Isa* found, find_isa(name));
  g_forced = found;
  return {};
}

}  // namespace retort::kernels
