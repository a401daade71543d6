#include "base/cancel.h"

#include <unistd.h>
#include <csignal>

namespace retort {
namespace {

const Cancel* g_process = nullptr;

extern "C" void on_signal(int) {
  if (g_process->requested()) ::_exit(130);
  g_process->request();
}

// A closed terminal says so more than once (the kernel, then the shell), so it never asks for the end at once.
extern "C" void on_hangup(int) { g_process->request(); }

}  // namespace

const Cancel& process_cancel() {
  static const Cancel cancel;
  return cancel;
}

void catch_signals() {
  g_process = &process_cancel();
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup{};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) {  // nohup's wish
    action.sa_handler = on_hangup;
    sigaction(SIGHUP, &action, nullptr);
  }
  // A file over the size limit is then an error of the write (EFBIG) that can be reported, not the process's end.
  std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace retort
