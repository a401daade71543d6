// `retort doctor`: can this machine do the work? Each line is ok, warn or fail, with the next action where there is
// one. Reads /proc, the C library and the loader only, so it says the same in every locale.
#include <array>
#include <filesystem>

#include <fmt/core.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "app/command.h"
#include "app/say.h"
#include "base/env.h"
#include "base/open_module.h"
#include "base/task_pool.h"
#include "kernels/isa.h"
#include "model/tensor.h"

namespace retort::app {
namespace {

struct Finding {
  std::string check, status, found, next;  // status: "ok", "warn", "fail"; next: what to do, "" where nothing
};

Finding cpu_features() {
  std::string usable;
  bool fast = false;  // more than the scalar reference
  for (const kernels::Isa* candidate : kernels::compiled_isas()) {
    if (!candidate->supported()) continue;
    fast = !usable.empty();
    usable += (usable.empty() ? "" : ", ") + std::string(candidate->name);
  }
  const std::string found = fmt::format("kernels {}, of which {} is used", usable, kernels::isa().name);
  if (const Status wanted = kernels::isa_status(); !wanted.ok())
    return {"cpu", "warn", found, wanted.error().message + "; change or unset it"};
  if (fast) return {"cpu", "ok", found, ""};
  return {"cpu", "warn", found, "everything works, but many times slower than with AVX2 or NEON"};
}

Finding threads() {
  const int usable = available_threads();
  const long all = ::sysconf(_SC_NPROCESSORS_ONLN);
  const std::string found =
      usable < all ? fmt::format("{} of {} (by affinity or cgroup quota)", usable, all) : fmt::format("{}", usable);
  if (usable >= 2) return {"threads", "ok", found, ""};
  return {"threads", "warn", found, "one thread is slow; allow more by taskset or the container's CPU limit"};
}

// Bytes from the first readable of `files` (a cgroup's limit), or 0 where there is none.
int64_t cgroup_limit(std::initializer_list<const char*> files) {
  for (const char* file : files) {
    const auto text = system_env().read_file(file);
    if (!text.ok()) continue;
    const std::string word(trim(*text));
    if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos) continue;  // "max"
    const int64_t value = std::strtoll(word.c_str(), nullptr, 10);
    if (value > 0 && value < (int64_t{1} << 60)) return value;
  }
  return 0;
}

std::string gib(double bytes) { return fmt::format("{:.1f} GiB", bytes / (1 << 30)); }

Finding memory() {
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return {"memory", "warn", "unknown", "check /proc is mounted"};
  double total = static_cast<double>(info.totalram) * info.mem_unit;
  std::string found = gib(total);
  const int64_t limit = cgroup_limit({"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"});
  if (limit > 0 && static_cast<double>(limit) < total) {
    total = static_cast<double>(limit);
    found = gib(total) + " (cgroup limit)";
  }
  if (total < 1.5 * (1 << 30)) return {"memory", "fail", found, "give at least 2 GiB; training SmolLM2-135M needs 6"};
  if (total < 6.0 * (1 << 30)) return {"memory", "warn", found, "training SmolLM2-135M needs about 6 GiB"};
  return {"memory", "ok", found, ""};
}

Finding disk() {
  struct statvfs info{};
  std::error_code ec;
  const std::string here = std::filesystem::current_path(ec).string();
  if (ec || ::statvfs(here.c_str(), &info) != 0) {
    return {"disk", "fail", "the working folder cannot be read", "change to a folder that exists"};
  }
  const double bytes = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  const std::string found = fmt::format("{} free in {}", gib(bytes), here);
  if (::access(here.c_str(), W_OK) != 0)
    return {"disk", "warn", found + ", not writable", "run from a folder you may write"};
  if (bytes < 0.25 * (1 << 30)) return {"disk", "fail", found, "free at least 1 GiB"};
  if (bytes < 2.0 * (1 << 30))
    return {"disk", "warn", found, "a run keeps checkpoints and traces; 2 GiB are comfortable"};
  return {"disk", "ok", found, ""};
}

// No GPU is used today; a machine that has one should not leave its owner waiting for it to be.
Finding gpu() {
  std::string found;
  for (const auto& [device, maker] : {std::pair{"/dev/nvidiactl", "NVIDIA"}, std::pair{"/dev/kfd", "AMD"}})
    if (system_env().exists(device)) found += (found.empty() ? "" : " and ") + std::string(maker);
  return {"gpu", "ok", (found.empty() ? "none found" : found + " found") + std::string(", none used: CPU only"), ""};
}

// What can be read; which of it stands in a given file, `retort inspect` says.
Finding models() {
  std::string types;
  for (int type = 0; type <= static_cast<int>(model::DType::Q5_1); ++type)
    types += (type == 0 ? "" : " ") + std::string(model::dtype_name(static_cast<model::DType>(type)));
  return {"models", "ok", "family llama (no RoPE scaling, byte-level BPE); safetensors F32 F16 BF16; GGUF " + types,
          ""};
}

// `without`: what a program without the module cannot do.
Finding module_check(const std::string& check, const std::string& module, const std::string& without) {
  const auto opened = open_module(module);
  if (opened.ok()) return {check, "ok", module_path(module).value(), ""};
  return {check, opened.error().code == Code::NotFound ? "warn" : "fail", opened.error().message, without};
}

std::vector<Finding> examine() {
  return {cpu_features(),
          threads(),
          memory(),
          disk(),
          gpu(),
          models(),
          module_check("trainer", "train", "`retort train` is not available; build with RETORT_TORCH=ON"),
          module_check("parquet", "parquet", "Parquet files cannot be read or written; JSONL works")};
}

}  // namespace

Command doctor_command() {
  return {"doctor", "check what this machine can do, and say what to do about it",
          [](CommandLine& cli) -> std::function<Result<int>()> {
            auto json = std::make_shared<bool>(false);
            cli.add_flag("--json", *json, "one JSON object a check");
            return [json]() -> Result<int> {
              bool failed = false;
              for (const Finding& f : examine()) {
                failed = failed || f.status == "fail";
                if (*json) {
                  say("{}\n",
                      to_text(Json{{"check", f.check}, {"status", f.status}, {"found", f.found}, {"next", f.next}}));
                } else {
                  say("{:<4}  {:<8}  {}{}\n", f.status, f.check, f.found,
                      f.next.empty() ? "" : "\n                -> " + f.next);
                }
              }
              return failed ? 1 : 0;
            };
          }};
}

}  // namespace retort::app
