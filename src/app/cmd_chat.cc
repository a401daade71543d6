// retort chat MODEL: a conversation in the terminal, with a local model or an API. Through a pipe each line is a
// question. Ctrl-C stops the answer; a second one before the next line quits. What may be typed: app/chat_words.h.
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
#include "app/chat_options.h"
#include "app/chat_screen.h"
#include "app/chat_words.h"
#include "app/command.h"
#include "app/line_editor.h"
#include "app/sampling_defaults.h"
#include "base/log.h"
#include "base/text.h"

namespace retort::app {
namespace {

constexpr std::string_view kPlain = "\033[0m";

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

// Where lines come from: edited on a terminal, as they are from a pipe.
class Input {
 public:
  explicit Input(const std::string& history) {
    if (::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0) editor_.emplace(g_bell[0], history);
    prompts_ = ::isatty(STDIN_FILENO) != 0;
  }
  LineEditor::Got next(const std::string& prompt, std::string& line) {
    if (editor_) return editor_->next(prompt, line);
    if (prompts_) fmt::print(stderr, "{}", prompt);
    switch (lines_.next(line)) {
      case Lines::Got::Line: return LineEditor::Got::Line;
      case Lines::Got::Interrupt: return LineEditor::Got::Interrupt;
      default: return LineEditor::Got::End;
    }
  }
  bool person() const { return prompts_; }

 private:
  std::optional<LineEditor> editor_;
  Lines lines_;
  bool prompts_ = false;
};

// The generator for what is set now: an API is told only what the person set.
using GeneratorOf = std::function<Result<model::Generator*>(const Chat&)>;

Result<int> converse(const GeneratorOf& generator_of, const ChatOptions& options, model::Sampling sampling) {
  g_terminal_out = ::isatty(STDOUT_FILENO) != 0;
  Screen screen(g_terminal_out);
  Chat chat(options, sampling);
  RETORT_TRY(catch_chat_signals());
  Input input(options.history);
  RETORT_ASSIGN(model::Generator * generator, generator_of(chat));
  if (input.person())
    log::info("{}: /help lists what may be typed, Ctrl-D ends, Ctrl-C stops an answer", generator->name());
  int status = 0;
  for (;;) {
    std::string line;
    Typed typed;
    LineEditor::Got got = input.next("> ", line);
    while (got == LineEditor::Got::Line && input.person() && typed.more(line)) got = input.next("... ", line);
    if (got == LineEditor::Got::End) {
      if (input.person()) fmt::print(stderr, "\n");
      return status;
    }
    if (got == LineEditor::Got::Interrupt) {
      fmt::print(stderr, "\n");
      if (g_interrupts >= 2 || g_ends > 0) return exit_status(Code::Cancelled);
      fmt::print(stderr, "(Ctrl-C again quits)\n");
      continue;
    }
    g_interrupts = 0;
    if (input.person()) line = typed.text();
    if (trim(line).empty()) continue;
    if (trim(line).front() == '/') {
      const Chat::Did did = chat.command(trim(line), system_env());
      if (did.ends) return status;
      if (!did.said.empty()) fmt::print(stderr, "{}\n", did.said);
      continue;
    }
    RETORT_ASSIGN(generator, generator_of(chat));
    auto said = answer(*generator, chat.ask(to_utf8(line)), screen);
    quiet_bell();
    if (g_interrupts >= 2 || g_ends > 0) return exit_status(Code::Cancelled);
    if (!said.ok()) {
      // A wrong key or a lost server ends a script with its status; a person may try again.
      chat.drop();
      status = exit_status(said.error().code);
      fmt::print(stderr, "retort: {}\n", said.error().message);
      if (chat.turns() > 0 && (said.error().code == Code::Limit || said.error().code == Code::Invalid))
        fmt::print(stderr, "(/reset forgets the {} messages before)\n", chat.turns());
      continue;
    }
    status = 0;
    const bool kept = !said->content.empty();
    const char* dropped = kept ? "" : " before an answer, the question is dropped";
    if (kept)
      chat.keep(std::move(said->content));
    else
      chat.drop();
    if (g_interrupts > 0)
      fmt::print(stderr, "(stopped{}; Ctrl-C again quits)\n", dropped);
    else if (said->finish_reason == "length")
      fmt::print(stderr, "(cut off{}: {})\n", dropped,
                 chat.max_tokens() > 0 ? "max_tokens is reached" : "the context is full");
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
  if (!api && ::isatty(STDIN_FILENO) != 0) log::info("loading {}", answerer.model);
  const std::string costs = options.out + "/costs.jsonl";
  // An API is told what the person set, and nothing else: a null takes a member out, and the server's own value counts.
  Json unsaid;
  const auto opened = [&](bool temperature, bool top_p) {
    unsaid = Json::object();
    if (!temperature) unsaid["temperature"] = nullptr;
    if (!top_p) unsaid["top_p"] = nullptr;
    AnswererUse use{.store = options.out + "/chat.sqlite", .repeats = true};
    if (api) use.extra = unsaid;
    return open_answerer(answerer, std::move(use), env);
  };
  RETORT_ASSIGN(auto open, opened(options.temperature >= 0, options.top_p >= 0));
  const model::Sampling sampling =
      open->local() == nullptr ? model::Sampling{} : sampling_defaults(open->local()->generation);
  const GeneratorOf generator_of = [&](const Chat& chat) -> Result<model::Generator*> {
    if (api &&
        (unsaid.contains("temperature") == chat.says_temperature() || unsaid.contains("top_p") == chat.says_top_p())) {
      RETORT_TRY(open->book(costs, "chat", env));
      open.reset();
      RETORT_ASSIGN(open, opened(chat.says_temperature(), chat.says_top_p()));
    }
    return &open->generator();
  };
  auto status = converse(generator_of, options, sampling);
  if (!open) return status;
  const Status booked = open->book(costs, "chat", env);
  if (status.ok()) RETORT_TRY(booked);
  return status;
}

}  // namespace

Command chat_command() {
  return {
      "chat", "chat with a model in the terminal", [](CommandLine& cli) -> std::function<Result<int>()> {
        const ChatOptions defaults;
        OptionFlags flags(cli, defaults);
        auto path = std::make_shared<std::string>();
        cli.add_option("MODEL", *path, "model directory, GGUF file or Hugging Face cache folder");
        cli.footer(
            "Earlier turns go along with each question. On a terminal lines are edited and recalled (arrows, Ctrl-R),\n"
            "and kept after the end only with --history FILE. \"\"\" begins and ends a question of several lines; a\n"
            "backslash at a line's end goes on with the next.\n" +
            chat_help() +
            "Ctrl-D ends with status 0. Ctrl-C stops the answer, and what there was of it stays in the conversation;\n"
            "pressed again before the next line it ends the chat with status 130. A thought is shown dimmed, and to a\n"
            "pipe as <think>...</think>. Through a pipe each line is a question, and a failed last one gives its "
            "status.");
        return [flags, path]() -> Result<int> {
          ChatOptions options;
          RETORT_TRY(flags.load(options));
          return flags.named(run(*path, options));
        };
      }};
}

}  // namespace retort::app
