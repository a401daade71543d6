// retort chat MODEL: a conversation in the terminal, with a local model or an API. Lines are edited by the terminal
// itself, so it works through pipes too and leaves nothing to restore. Ctrl-C stops the answer; a second one before the
// next line quits.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>

#include <fmt/core.h>

#include "app/answerer.h"
#include "app/command.h"
#include "app/sampling_defaults.h"
#include "base/log.h"
#include "base/text.h"

namespace retort::app {
namespace {

struct ChatOptions {
  std::string system;
  Answerer answerer;
  std::string out;
  double temperature = -1;
  double top_p = -1;
  int top_k = -1;
  int max_tokens = 0;
  int64_t seed = -1;

  template <class V>
  void fields(V&& v) {
    v("system", system, "the system message");
    answerer.fields(v);
    v("out", out, "folder for chat.sqlite and costs.jsonl: what an API that asks for money said and was paid");
    v("temperature", temperature, "0 is greedy; below 0: the model's own", {.low = -1, .high = 100});
    v("top_p", top_p, "below 0: the model's own", {.low = -1, .high = 1});
    v("top_k", top_k, "0: off; below 0: the model's own", {.low = -1});
    v("max_tokens", max_tokens, "of an answer; 0: as many as the context holds", {.low = 0});
    v("seed", seed, "below 0: drawn", {.low = -1});
  }
};

constexpr std::string_view kDim = "\033[2m", kPlain = "\033[0m";

volatile std::sig_atomic_t g_interrupts = 0, g_ends = 0;
bool g_terminal_out = false;
int g_bell[2] = {-1, -1};  // a byte for each signal, so that a wait for input cannot miss one

extern "C" void on_chat_signal(int number) {
  if (number == SIGINT)
    g_interrupts = g_interrupts + 1;
  else
    g_ends = g_ends + 1;
  if (g_interrupts > 2 || g_ends > 1) {  // nobody looks any more
    if (g_terminal_out && ::write(STDOUT_FILENO, kPlain.data(), kPlain.size()) < 0) ::_exit(130);
    ::_exit(130);
  }
  const int saved = errno;
  if (::write(g_bell[1], "", 1) < 0) errno = saved;  // full: a byte waits there already
}

Status catch_chat_signals() {
  if (::pipe2(g_bell, O_CLOEXEC | O_NONBLOCK) != 0) return fail(Code::Io, "no pipe: {}", std::strerror(errno));
  struct sigaction action{};
  action.sa_handler = on_chat_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return {};
}

// Signals so far have been seen.
void quiet_bell() {
  char waste[64];
  while (::read(g_bell[0], waste, sizeof waste) > 0) {
  }
}

// Lines of standard input, interruptible.
class Lines {
 public:
  enum class Got { Line, End, Interrupt };
  Got next(std::string& line) {
    for (;;) {
      if (const size_t end = held_.find('\n'); end != std::string::npos) {
        line = held_.substr(0, end);
        held_.erase(0, end + 1);
        return Got::Line;
      }
      pollfd ready[2] = {{STDIN_FILENO, POLLIN, 0}, {g_bell[0], POLLIN, 0}};
      if (::poll(ready, 2, -1) < 0 && errno != EINTR) return Got::End;
      if (ready[1].revents != 0) {
        quiet_bell();
        return Got::Interrupt;
      }
      if (ready[0].revents == 0) continue;
      char buffer[4096];
      const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        line.swap(held_);
        held_.clear();
        return line.empty() ? Got::End : Got::Line;
      }
      held_.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  std::string held_;
};

// Shows an answer as it comes: the thought dimmed on a terminal, between its marks elsewhere.
class Screen {
 public:
  explicit Screen(bool terminal) : terminal_(terminal) {}
  void show(const model::Delta& delta) {
    if (!delta.reasoning.empty()) {
      if (!thinking_) write(terminal_ ? kDim : "<think>\n");
      thinking_ = true;
      put(delta.reasoning);
    }
    if (!delta.content.empty()) {
      if (thinking_) write(terminal_ ? "\033[0m\n\n" : "\n</think>\n");
      thinking_ = false;
      put(delta.content);
    }
  }
  void end() {
    if (thinking_) write(terminal_ ? kPlain : "\n</think>");
    thinking_ = false;
    write("\n");
  }

 private:
  static void write(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  // What a model writes must not steer the terminal: neither C0 nor C1 controls (U+0080 to U+009F) pass.
  void put(std::string_view text) const {
    if (!terminal_) return write(text);
    std::string clean;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0)
        ++i;
      else if (byte == '\n' || byte == '\t' || (byte >= ' ' && byte != 0x7f))
        clean += text[i];
    }
    write(clean);
  }
  bool terminal_;
  bool thinking_ = false;
};

// A typed line without what keys leave in it that the terminal does not edit by (arrows: ESC [ A).
std::string without_keys(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == '\033' && i + 1 < line.size() && (line[i + 1] == '[' || line[i + 1] == 'O')) {
      for (i += 2; i < line.size() && (line[i] < '@' || line[i] > '~'); ++i) {
      }
    } else if (byte == '\t' || (byte >= ' ' && byte != 0x7f)) {
      out += line[i];
    }
  }
  return out;
}

// Pieces go from the generator's thread to this one, which prints: a slow terminal does not hold the engine.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<model::Delta> pieces;
  std::optional<Result<model::Reply>> end;
};

struct Said {
  std::string content;  // what there was of it where it was stopped
  std::string finish_reason;
};

// One answer, printed as it comes. A stopped one is no error: it ends with "cancelled".
Result<Said> answer(model::Generator& generator, model::Request request, Screen& screen) {
  Mailbox box;
  Cancel cancel;
  model::Callbacks callbacks;
  callbacks.on_delta = [&](const model::Delta& delta) {
    const std::lock_guard lock(box.mutex);
    box.pieces.push_back(delta);
    box.arrived.notify_one();
  };
  callbacks.on_done = [&](Result<model::Reply> reply) {
    const std::lock_guard lock(box.mutex);
    box.end = std::move(reply);
    box.arrived.notify_one();
  };
  generator.submit(std::move(request), std::move(callbacks), cancel);
  std::string content;
  bool any = false;
  std::unique_lock lock(box.mutex);
  for (;;) {
    box.arrived.wait_for(lock, std::chrono::milliseconds(50), [&] { return !box.pieces.empty() || box.end; });
    if (g_interrupts > 0 || g_ends > 0) cancel.request();
    while (!box.pieces.empty()) {
      const model::Delta delta = std::move(box.pieces.front());
      box.pieces.pop_front();
      lock.unlock();
      content += delta.content;
      screen.show(delta);
      any = true;
      lock.lock();
    }
    if (box.end) break;
  }
  if (any || !box.end->ok()) screen.end();
  if (!box.end->ok() && box.end->error().code != Code::Cancelled) return box.end->error();
  if (!box.end->ok() || (**box.end).choices.empty()) return Said{std::move(content), "cancelled"};
  model::Choice& choice = (**box.end).choices[0];
  return Said{std::move(choice.content), std::move(choice.finish_reason)};
}

Result<int> converse(model::Generator& generator, const ChatOptions& options, model::Sampling sampling) {
  if (options.temperature >= 0) sampling.temperature = options.temperature;
  if (options.top_p >= 0) sampling.top_p = options.top_p;
  if (options.top_k >= 0) sampling.top_k = options.top_k;
  if (options.seed >= 0) sampling.seed = static_cast<uint64_t>(options.seed);
  sampling.max_tokens = options.max_tokens;
  const bool terminal_in = ::isatty(STDIN_FILENO) != 0;
  g_terminal_out = ::isatty(STDOUT_FILENO) != 0;
  Screen screen(g_terminal_out);
  std::vector<Message> start;
  if (!options.system.empty()) start.push_back({"system", options.system, "", nullptr});
  std::vector<Message> history = start;
  Lines lines;
  RETORT_TRY(catch_chat_signals());
  if (terminal_in) log::info("{}: /reset forgets, /quit or Ctrl-D ends, Ctrl-C stops an answer", generator.name());
  int status = 0;
  for (;;) {
    if (terminal_in) fmt::print(stderr, "> ");
    std::string line;
    const Lines::Got got = lines.next(line);
    if (got == Lines::Got::End) {
      if (terminal_in) fmt::print(stderr, "\n");
      return status;
    }
    if (got == Lines::Got::Interrupt) {
      fmt::print(stderr, "\n");
      if (g_interrupts >= 2 || g_ends > 0) return exit_status(Code::Cancelled);
      fmt::print(stderr, "(Ctrl-C again quits)\n");
      continue;
    }
    g_interrupts = 0;
    if (terminal_in) line = without_keys(line);
    const std::string_view command = trim(line);
    if (command.empty()) continue;
    if (command == "/quit" || command == "/exit") return status;
    if (command == "/reset") {
      history = start;
      fmt::print(stderr, "(forgotten)\n");
      continue;
    }
    if (command.front() == '/') {
      fmt::print(stderr, "(no command `{}`; there are /reset and /quit)\n", to_utf8(command));
      continue;
    }
    history.push_back({"user", to_utf8(line), "", nullptr});
    model::Request request;
    request.messages = history;
    request.sampling = sampling;
    auto said = answer(generator, std::move(request), screen);
    quiet_bell();
    if (g_interrupts >= 2 || g_ends > 0) return exit_status(Code::Cancelled);
    if (!said.ok()) {
      // A wrong key or a lost server ends a script with its status; a person may try again.
      history.pop_back();
      status = exit_status(said.error().code);
      fmt::print(stderr, "retort: {}\n", said.error().message);
      if (history.size() > start.size() && (said.error().code == Code::Limit || said.error().code == Code::Invalid))
        fmt::print(stderr, "(/reset forgets the {} messages before)\n", history.size() - start.size());
      continue;
    }
    status = 0;
    const bool kept = !said->content.empty();
    if (kept)
      history.push_back({"assistant", std::move(said->content), "", nullptr});
    else
      history.pop_back();
    if (g_interrupts > 0)
      fmt::print(stderr, "(stopped{}; Ctrl-C again quits)\n", kept ? "" : " before an answer, the question is dropped");
    else if (said->finish_reason == "length")
      fmt::print(stderr, "(cut off: {})\n", options.max_tokens > 0 ? "max_tokens is reached" : "the context is full");
    else if (!kept)
      fmt::print(stderr, "(no answer, the question is dropped)\n");
  }
}

Result<int> run(const std::string& path, ChatOptions options) {
  Answerer& answerer = options.answerer;
  if (path.empty() ? !answerer.given() : answerer.given())
    return fail(Code::Invalid, "give either a MODEL or `endpoint` URL with `model` NAME");
  const bool api = !answerer.endpoint.empty(), paid = api && answerer.access.prices != kFree;
  if (!path.empty()) answerer.model = path;
  Env& env = system_env();
  RETORT_TRY(check_answerer(answerer, "", env));
  if (paid && options.out.empty())
    return fail(Code::Invalid,
                "give `out`, a folder for the store and the cost book: the cap counts what earlier chats spent");
  if (paid && options.max_tokens <= 0)
    return fail(Code::Invalid, "give `max_tokens`: for an answer without a limit no cap can be kept");
  AnswererUse use{.store = options.out + "/chat.sqlite", .repeats = true};
  if (api) {
    use.extra = Json::object();  // a null takes the member out: the server's own value counts
    if (options.temperature < 0) use.extra["temperature"] = nullptr;
    if (options.top_p < 0) use.extra["top_p"] = nullptr;
  } else if (::isatty(STDIN_FILENO) != 0) {
    log::info("loading {}", answerer.model);
  }
  RETORT_ASSIGN(const auto open, open_answerer(answerer, std::move(use), env));
  const model::Sampling sampling =
      open->local() == nullptr ? model::Sampling{} : sampling_defaults(open->local()->generation);
  auto status = converse(open->generator(), options, sampling);
  const Status booked = open->book(options.out + "/costs.jsonl", "chat", env);
  if (status.ok()) RETORT_TRY(booked);
  return status;
}

}  // namespace

Command chat_command() {
  return {"chat", "chat with a model in the terminal", [](CommandLine& cli) -> std::function<Result<int>()> {
            const ChatOptions defaults;
            OptionFlags flags(cli, defaults);
            auto path = std::make_shared<std::string>();
            cli.add_option("MODEL", *path, "model directory, GGUF file or Hugging Face cache folder");
            cli.footer(
                "Earlier turns go along with each question. /reset forgets them; /quit or Ctrl-D ends with status 0.\n"
                "Ctrl-C stops the answer, and what there was of it stays in the conversation; pressed again before\n"
                "the next line it ends the chat with status 130. A thought is shown dimmed, and to a pipe as\n"
                "<think>...</think>. Through a pipe each line is a question, and a failed last one gives its status.");
            return [flags, path]() -> Result<int> {
              ChatOptions options;
              RETORT_TRY(flags.load(options));
              return flags.named(run(*path, options));
            };
          }};
}

}  // namespace retort::app
