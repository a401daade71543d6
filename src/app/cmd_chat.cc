// retort chat MODEL: a conversation in the terminal, with a local model or an API. Lines are edited by the terminal
// itself, so it works through pipes too. Ctrl-C stops the answer; a second one before the next line quits.
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>

#include <fmt/core.h>

#include "app/command.h"
#include "app/open_model.h"
#include "app/sampling_defaults.h"
#include "app/steps.h"
#include "base/text.h"
#include "net/curl_transport.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

struct ChatOptions {
  std::string system;
  std::string endpoint;
  std::string model;
  std::string key_variable = "RETORT_API_KEY";
  double temperature = -1;
  double top_p = -1;
  int top_k = -1;
  int max_tokens = 0;
  int64_t seed = -1;
  int threads = 0;

  template <class V>
  void fields(V&& v) {
    v("system", system, "the system message");
    v("endpoint", endpoint, "chat with the API at this base URL (as http://127.0.0.1:8080/v1) in place of a MODEL");
    v("model", model, "the model's name at the endpoint");
    v("key_variable", key_variable, "environment variable that holds the endpoint's key");
    v("temperature", temperature, "0 is greedy; below 0: the model's own");
    v("top_p", top_p, "below 0: the model's own");
    v("top_k", top_k, "0: off; below 0: the model's own");
    v("max_tokens", max_tokens, "of an answer; 0: as many as the context holds");
    v("seed", seed, "below 0: drawn");
    v("threads", threads, "of a local model; 0: those the process may use");
  }
};

volatile std::sig_atomic_t g_interrupts = 0;

extern "C" void on_interrupt(int) {
  g_interrupts = g_interrupts + 1;
  if (g_interrupts > 2) ::_exit(130);  // nobody looks any more
}

// SIGINT counts here; without SA_RESTART, so that a waiting read returns.
void count_interrupts() {
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
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
      char buffer[4096];
      const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) return Got::Interrupt;
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
      if (!thinking_) put(terminal_ ? "\033[2m" : "<think>\n");
      thinking_ = true;
      put(delta.reasoning);
    }
    if (!delta.content.empty()) {
      end_thought();
      put(delta.content);
    }
  }
  void end() {
    end_thought();
    put("\n");
  }

 private:
  void end_thought() {
    if (thinking_) put(terminal_ ? "\033[0m\n" : "\n</think>\n");
    thinking_ = false;
  }
  // What a model writes must not steer the terminal.
  void put(std::string_view text) {
    std::string clean;
    const bool own = text.substr(0, 1) == "\033" && text.size() <= 5;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (!terminal_ || own || byte == '\n' || byte == '\t' || (byte >= ' ' && byte != 0x7f)) clean += c;
    }
    std::fwrite(clean.data(), 1, clean.size(), stdout);
    std::fflush(stdout);
  }
  bool terminal_;
  bool thinking_ = false;
};

// Pieces go from the generator's thread to this one, which prints: a slow terminal does not hold the engine.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<model::Delta> pieces;
  std::optional<Result<model::Reply>> end;
};

// One answer. Returns its content (what there was of it where it was stopped), or the error.
Result<std::string> answer(model::Generator& generator, model::Request request, Screen& screen) {
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
  std::unique_lock lock(box.mutex);
  for (;;) {
    box.arrived.wait_for(lock, std::chrono::milliseconds(50), [&] { return !box.pieces.empty() || box.end; });
    if (g_interrupts > 0) cancel.request();
    while (!box.pieces.empty()) {
      const model::Delta delta = std::move(box.pieces.front());
      box.pieces.pop_front();
      lock.unlock();
      content += delta.content;
      screen.show(delta);
      lock.lock();
    }
    if (box.end) break;
  }
  screen.end();
  if (box.end->ok()) return (**box.end).choices.empty() ? content : (**box.end).choices[0].content;
  if (box.end->error().code == Code::Cancelled) return content;
  return box.end->error();
}

Result<int> converse(model::Generator& generator, const ChatOptions& options, model::Sampling sampling) {
  if (options.temperature >= 0) sampling.temperature = options.temperature;
  if (options.top_p >= 0) sampling.top_p = options.top_p;
  if (options.top_k >= 0) sampling.top_k = options.top_k;
  if (options.seed >= 0) sampling.seed = static_cast<uint64_t>(options.seed);
  sampling.max_tokens = options.max_tokens;
  const bool terminal_in = ::isatty(STDIN_FILENO) != 0;
  Screen screen(::isatty(STDOUT_FILENO) != 0);
  std::vector<Message> start;
  if (!options.system.empty()) start.push_back({"system", options.system, "", nullptr});
  std::vector<Message> history = start;
  Lines lines;
  if (terminal_in)
    fmt::print(stderr, "chatting with {}; /reset forgets, /quit ends, Ctrl-C stops an answer\n", generator.name());
  count_interrupts();
  int status = 0;
  for (;;) {
    if (terminal_in) fmt::print(stderr, "> ");
    std::string line;
    const Lines::Got got = lines.next(line);
    if (got == Lines::Got::End) return status;
    if (got == Lines::Got::Interrupt) {
      if (g_interrupts >= 2) return exit_status(Code::Cancelled);
      fmt::print(stderr, "\n(Ctrl-C again quits)\n");
      continue;
    }
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
    g_interrupts = 0;
    auto said = answer(generator, std::move(request), screen);
    if (g_interrupts >= 2) return exit_status(Code::Cancelled);
    if (!said.ok()) {
      // A wrong key or a lost server ends a script with its status; a person may try again.
      history.pop_back();
      status = exit_status(said.error().code);
      fmt::print(stderr, "retort: {}\n", said.error().message);
      continue;
    }
    status = 0;
    if (said->empty())
      history.pop_back();
    else
      history.push_back({"assistant", *said, "", nullptr});
    if (g_interrupts > 0) fmt::print(stderr, "(stopped; Ctrl-C again quits)\n");
  }
}

Result<int> run(const std::string& path, const ChatOptions& options) {
  if (path.empty() == options.endpoint.empty())
    return fail(Code::Invalid, "give either a MODEL or --endpoint URL with --model NAME");
  if (!path.empty()) {
    infer::Options engine_options;
    engine_options.threads = options.threads;
    RETORT_ASSIGN(const auto engine, open_engine(path, engine_options));
    return converse(*engine, options, sampling_defaults(engine->model().generation));
  }
  if (options.model.empty()) return fail(Code::Invalid, "--endpoint needs --model NAME, the model's name there");
  net::CurlTransport transport;
  wire::ApiOptions api;
  api.base_url = options.endpoint;
  api.model = options.model;
  wire::ApiGenerator generator(transport, api, secret_from_environment(options.key_variable));
  return converse(generator, options, {});
}

}  // namespace

Command chat_command() {
  return {"chat", "chat with a model in the terminal", [](CLI::App& cli) -> std::function<Result<int>()> {
            const ChatOptions defaults;
            OptionFlags flags(cli, defaults);
            auto path = std::make_shared<std::string>();
            cli.add_option("MODEL", *path, "model directory, GGUF file or Hugging Face cache folder");
            return [flags, path]() -> Result<int> {
              ChatOptions options;
              RETORT_TRY(flags.load(options));
              return run(*path, options);
            };
          }};
}

}  // namespace retort::app
