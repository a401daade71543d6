// The rule `command`: a program of the user's decides. It is started without a shell, its arguments are the user's own
// words; reference and reply reach it on standard input only. It gets kTimeLimitMs, after which it and what it started
// are ended. Non-goal: confining it (it is the user's program, run with the user's rights).
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/json.h"
#include "base/text.h"
#include "verify/rule_kinds.h"

extern char** environ;

namespace retort::verify {
namespace {

constexpr int64_t kTimeLimitMs = 10'000;
constexpr size_t kMostOutput = 64 << 10;

struct Fd {
  int fd = -1;
  Fd() = default;
  explicit Fd(int given) : fd(given) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  void reset(int other = -1) {
    if (fd >= 0) ::close(fd);
    fd = other;
  }
};

struct Ended {
  std::string out, error;
  int status = 0;       // as waitpid() gives it
  std::string problem;  // could not be started, or had to be ended
};

Ended broken(std::string_view what) { return {"", "", 0, fmt::format("{}: {}", what, std::strerror(errno))}; }

// The environment without what is secret by its name: a checker needs no key.
std::vector<char*> open_environment() {
  std::vector<char*> out;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry = *at;
    const std::string_view name = entry.substr(0, entry.find('='));
    bool secret = false;
    for (const char* mark : {"KEY", "TOKEN", "SECRET", "PASSWORD"})
      secret = secret || name.find(mark) != std::string_view::npos;
    if (!secret) out.push_back(*at);
  }
  out.push_back(nullptr);
  return out;
}

// Takes what can be read now; what is over kMostOutput is thrown away.
void drain(const Fd& from, std::string& into) {
  char buffer[4096];
  ssize_t n = 0;
  while ((n = ::read(from.fd, buffer, sizeof buffer)) > 0)
    into.append(buffer, std::min(static_cast<size_t>(n), kMostOutput - std::min(kMostOutput, into.size())));
}

Ended run(const std::vector<std::string>& words, const std::string& input) {
  Fd in(::memfd_create("case", MFD_CLOEXEC));
  if (in.fd < 0) return broken("no memory file");
  for (size_t at = 0; at < input.size();) {
    const ssize_t n = ::write(in.fd, input.data() + at, input.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return broken("cannot write the case");
    at += static_cast<size_t>(n);
  }
  if (::lseek(in.fd, 0, SEEK_SET) != 0) return broken("cannot rewind the case");
  int pipes[2][2];
  Fd ends[4];
  for (int i = 0; i < 2; ++i) {
    if (::pipe2(pipes[i], O_CLOEXEC) != 0) return broken("no pipe");
    ends[2 * i].reset(pipes[i][0]);
    ends[2 * i + 1].reset(pipes[i][1]);
    ::fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1].fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[3].fd, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int number : {SIGINT, SIGTERM, SIGPIPE, SIGHUP}) sigaddset(&usual, number);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment = open_environment();
  pid_t child = 0;
  errno = ::posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (errno != 0) return broken(fmt::format("cannot run `{}`", words[0]));
  ends[1].reset();
  ends[3].reset();

  Ended ended;
  Env& env = system_env();
  const int64_t end_us = env.monotonic_us() + kTimeLimitMs * 1000;
  for (int64_t pause_us = 500;; pause_us = std::min<int64_t>(pause_us * 2, 10'000)) {
    drain(ends[0], ended.out);
    drain(ends[2], ended.error);
    const pid_t gone = ::waitpid(child, &ended.status, WNOHANG);
    if (gone == child || (gone < 0 && errno != EINTR)) break;
    if (env.monotonic_us() > end_us) {
      ended.problem = fmt::format("it took more than {} s and was ended", kTimeLimitMs / 1000);
      ::kill(-child, SIGKILL);
      while (::waitpid(child, &ended.status, 0) < 0 && errno == EINTR) {
      }
      return ended;
    }
    env.sleep_us(pause_us);
  }
  ::kill(-child, SIGKILL);  // what it left behind
  drain(ends[0], ended.out);
  drain(ends[2], ended.error);
  return ended;
}

Judgement judge_by(const std::vector<std::string>& words, const Case& one) {
  const auto plain = extract_answer(one.reply);
  Json input = {{"question", to_utf8(one.question)},
                {"reference", to_utf8(one.reference)},
                {"reply", to_utf8(strip_thought(one.reply).text)}};
  input["answer"] = plain ? Json(to_utf8(plain->text)) : Json(nullptr);
  const Ended ended = run(words, to_text(input) + "\n");
  Judgement out;
  out.how = "command";
  out.answer = plain;
  out.problem = ended.problem;
  if (!out.problem.empty()) return out;
  const int code = WIFEXITED(ended.status) ? WEXITSTATUS(ended.status) : -1;
  const auto printed = parse_json(trim(ended.out));
  if (code == 0 && printed.ok() && printed->is_object()) {
    const auto equal = get_bool(*printed, "equal", true);
    if (!equal.ok())
      out.problem = "its verdict: " + equal.error().message;
    else
      out.equal = *equal;
    const auto answer = get_string(*printed, "answer", "");
    if (answer.ok() && !answer->empty()) out.answer = Answer{*answer, "command"};
    return out;
  }
  if (code == 0 || code == 1) {
    out.equal = code == 0;
    return out;
  }
  const std::string said = to_utf8(trim(ended.error));
  out.problem = code < 0 ? fmt::format("it was ended by signal {}", WTERMSIG(ended.status))
                         : fmt::format("it ended with status {}", code);
  if (!said.empty()) out.problem += ": " + said.substr(said.size() > 300 ? said.size() - 300 : 0);
  out.problem = to_utf8(out.problem);
  return out;
}

}  // namespace

Status make_command(std::string_view argument, Rule& rule) {
  std::vector<std::string> words;
  for (const std::string_view word : split(argument, ' '))
    if (!word.empty()) words.emplace_back(word);
  if (words.empty()) return fail(Code::Invalid, "name the program: command:PROGRAM ARGUMENTS");
  if (words[0].find('/') != std::string::npos && ::access(words[0].c_str(), X_OK) != 0)
    return fail(Code::NotFound, "`{}` cannot be run: {}", words[0], std::strerror(errno));
  rule.judge = [words](const Case& one) { return judge_by(words, one); };
  return {};
}

}  // namespace retort::verify
