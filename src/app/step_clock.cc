#include "app/step_clock.h"

#include <array>
#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "base/text.h"

namespace retort::app {
namespace {

constexpr std::chrono::milliseconds kBetweenNotes{250};

std::string draw_name(Env& env) {
  std::array<uint8_t, 4> bytes{};
  env.random_bytes(bytes);
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

}  // namespace

Result<ClockNote> read_clock(const std::string& work, Env& env) {
  RETORT_ASSIGN(const std::string text, env.read_file(work + "/" + kClockName));
  const std::string whole = text.substr(0, text.rfind('\n') + 1);
  ClockNote note;
  for (const std::string_view line : split(whole, '\n')) {
    if (line.empty()) continue;
    if (note.run.empty())
      note.run = line;
    else
      note.seconds = std::atof(std::string(line).c_str());
  }
  return note;
}

Result<std::unique_ptr<StepClock>> StepClock::start(const std::string& work, Env& env) {
  ClockNote before;
  if (auto note = read_clock(work, env); note.ok()) before = std::move(*note);
  if (before.run.empty()) before.run = draw_name(env);
  const std::string path = work + "/" + kClockName;
  RETORT_TRY(env.write_file(path, fmt::format("{}\n{:.3f}\n", before.run, before.seconds)));
  RETORT_ASSIGN(auto file, env.append_file(path, false));
  return std::unique_ptr<StepClock>(new StepClock(std::move(before), std::move(file), env));
}

StepClock::StepClock(ClockNote before, std::unique_ptr<AppendFile> file, Env& env)
    : run_(std::move(before.run)),
      before_(before.seconds),
      env_(env),
      start_us_(env.monotonic_us()),
      file_(std::move(file)) {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!stop_.wait_for(lock, kBetweenNotes, [this] { return stopped_; })) note();
  });
}

StepClock::~StepClock() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_one();
  thread_.join();
  note();
}

double StepClock::seconds() const { return before_ + static_cast<double>(env_.monotonic_us() - start_us_) * 1e-6; }

// Not synced: a kill leaves what was written, and a power cut costs a figure, no work. For the same reason a full disk
// is no error here.
void StepClock::note() { (void)file_->append(fmt::format("{:.3f}\n", seconds())); }

}  // namespace retort::app
