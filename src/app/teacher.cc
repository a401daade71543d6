#include "app/teacher.h"

#include <algorithm>
#include <cctype>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "net/http_server.h"
#include "tasks/generate.h"
#include "wire/openai.h"

namespace retort::app {
namespace {

// Streams of the faults' draws; answers draw from the question's own stream.
constexpr uint64_t kBusyStream = 1, kCutStream = 2;

const std::vector<std::string>& leaks() {
  static const std::vector<std::string> texts = {
      "As ChatGPT, I am happy to help with this.",
      "As an AI language model developed by OpenAI, I will work through it.",
      "I am Claude, made by Anthropic.",
      "As DeepSeek-R1, let me think.",
  };
  return texts;
}

// Text in pieces as a model would count them: a run of letters, a digit, or any other character, each with the space
// before it.
std::vector<std::string_view> pieces(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    if (text[i] == ' ' && i + 1 < text.size()) ++i;
    const auto letter = [&](size_t k) { return std::isalpha(static_cast<unsigned char>(text[k])) != 0; };
    if (letter(i)) {
      while (i < text.size() && letter(i)) ++i;
    } else {
      ++i;
    }
    out.push_back(text.substr(begin, i - begin));
  }
  return out;
}

struct Answer {
  std::string reasoning, content, finish_reason = "stop";
};

Answer make_answer(const TeacherOptions& options, const std::string& question, uint64_t request_seed, int index) {
  Random random(options.seed, fnv1a(fmt::format("{}|{}|{}", question, request_seed, index)));
  const double wrong = random.uniform(), leak = random.uniform(), truncated = random.uniform(),
               place = random.uniform();
  const uint64_t which = random.next();
  Answer answer;
  auto problem = tasks::solve(question);
  if (!problem) {
    answer.content = "I can only solve the arithmetic that retort's own tasks are made of.";
    return answer;
  }
  std::vector<tasks::Step> steps = problem->steps;
  if (wrong < options.wrong) {
    // A slip in reading one operand: the chain is then right in itself and its result wrong.
    tasks::Step& step = steps[which % steps.size()];
    step.right += step.op == '*' && step.right == 9 ? -1 : 1;
  }
  answer.reasoning = tasks::worked(steps, options.style == "plain" ? tasks::Style::Plain : tasks::Style::Columns);
  answer.content = fmt::format("\\boxed{{{}}}", tasks::evaluate(steps));
  if (options.style == "plain") answer.content = fmt::format("The answer is {}.", answer.content);
  if (leak < options.leak) {
    const std::string& text = leaks()[which % leaks().size()];
    std::string& where = place < 0.5 ? answer.reasoning : answer.content;
    where = text + " " + where;
  }
  if (truncated < options.truncated) {
    const auto parts = pieces(answer.reasoning);
    const size_t keep = 1 + static_cast<size_t>(place * static_cast<double>(parts.size() - 1));
    answer.reasoning.resize(static_cast<size_t>(parts[keep - 1].data() + parts[keep - 1].size() - parts[0].data()));
    answer.content.clear();
    answer.finish_reason = "length";
  }
  return answer;
}

// Keeps to max_tokens, thought first.
void limit(Answer& answer, int max_tokens) {
  if (max_tokens <= 0) return;
  size_t left = static_cast<size_t>(max_tokens);
  for (std::string* text : {&answer.reasoning, &answer.content}) {
    const auto parts = pieces(*text);
    if (parts.size() > left) {
      text->resize(left == 0 ? 0 : static_cast<size_t>(parts[left - 1].data() + parts[left - 1].size() - text->data()));
      answer.finish_reason = "length";
      left = 0;
    } else {
      left -= parts.size();
    }
  }
}

}  // namespace

struct Teacher::State {
  TeacherOptions options;
  std::unique_ptr<AppendFile> log;
  std::mutex mutex;
  std::unordered_map<std::string, uint32_t> attempts;  // by request body
  int64_t served = 0;
  std::unique_ptr<net::HttpServer> server;  // last: stops before the rest goes

  uint32_t count_attempt(const std::string& body) {
    const std::lock_guard lock(mutex);
    return attempts[short_id(body)]++;
  }

  void write_log(Json line) {
    const std::lock_guard lock(mutex);
    line["number"] = served++;
    if (log) (void)log->append(to_text(line) + "\n");
  }

  // Goes on where the log of an earlier life ends, so that a teacher started again fails no attempt twice.
  Status open_log(Env& env) {
    std::string before;
    if (env.exists(options.log)) {
      RETORT_ASSIGN(before, env.read_file(options.log));
    }
    for (const std::string_view line : split(before, '\n')) {
      const auto json = line.empty() ? Result<Json>(Json()) : parse_json(line);
      if (!json.ok() || !json->is_object()) continue;  // torn by a kill
      ++served;
      if (const auto id = need_string(*json, "request"); id.ok()) ++attempts[*id];
    }
    RETORT_ASSIGN(log, env.append_file(options.log, false));
    return before.empty() || before.back() == '\n' ? Status() : log->append("\n");
  }

  static void refuse(net::Responder& out, const wire::ApiError& error, net::Headers headers = {}) {
    headers.emplace_back("Content-Type", "application/json");
    out.send(error.status, std::move(headers), to_text(wire::encode(error)));
  }

  model::Choice to_choice(const Answer& answer, int index) const {
    model::Choice choice;
    choice.index = index;
    choice.finish_reason = answer.finish_reason;
    if (options.reasoning_field == "think") {
      choice.content = "<think>" + answer.reasoning +
                       (answer.finish_reason == "length" && answer.content.empty() ? "" : "</think>") + answer.content;
    } else {
      choice.reasoning = answer.reasoning;
      choice.content = answer.content;
    }
    return choice;
  }

  // Chunks carry `reasoning_content`; a teacher of the other spelling renames it.
  std::string text_of(Json json) const {
    std::string text = to_text(json);
    return options.reasoning_field == "reasoning" ? replace_all(text, "\"reasoning_content\":", "\"reasoning\":")
                                                  : text;
  }

  void chat(const net::ServerRequest& request, const std::shared_ptr<net::Responder>& out) {
    const uint32_t attempt = count_attempt(request.body);
    const uint64_t identity = fnv1a(request.body);
    const auto fault = [&](uint64_t stream, double rate) {
      return Random(options.seed ^ identity, stream + 16ull * attempt).uniform() < rate;
    };
    if (fault(kBusyStream, options.busy)) {
      write_log({{"status", 429}, {"request", short_id(request.body)}});
      return refuse(*out, {429, "too many requests; try again", "rate_limit_error", "", "rate_limit_exceeded"},
                    {{"Retry-After", "1"}});
    }
    const auto body = parse_json(request.body);
    if (!body.ok()) return refuse(*out, {400, body.error().message, "invalid_request_error", "", ""});
    wire::ApiCall call;
    if (const auto error = wire::parse_chat(*body, {}, call)) return refuse(*out, *error);
    const model::Request& asked = call.requests.front();
    if (asked.top_logprobs >= 0) {
      return refuse(*out, {400, "the procedural teacher has no log-probabilities; leave `logprobs` out",
                           "invalid_request_error", "logprobs", "unsupported_parameter"});
    }
    const std::string question = asked.messages.empty() ? "" : asked.messages.back().content;

    model::Reply reply;
    reply.model = options.model;
    for (const Message& message : asked.messages)
      reply.usage.prompt_tokens += static_cast<int64_t>(pieces(message.content).size()) + 4;
    for (int i = 0; i < asked.n; ++i) {
      Answer answer = make_answer(options, question, asked.sampling.seed.value_or(0), i);
      limit(answer, asked.sampling.max_tokens);
      const auto thought = static_cast<int64_t>(pieces(answer.reasoning).size());
      reply.usage.reasoning_tokens += thought;
      reply.usage.completion_tokens += thought + static_cast<int64_t>(pieces(answer.content).size());
      reply.choices.push_back(to_choice(answer, i));
    }
    // No clock in the response: equal requests get equal bytes.
    const wire::ResponseHead head{"chatcmpl-" + short_id(request.body), 0, options.model};
    const bool cut = fault(kCutStream, options.cut);
    std::string whole;
    if (call.stream) {
      const auto event = [&](const Json& json) { whole += "data: " + text_of(json) + "\n\n"; };
      for (const model::Choice& choice : reply.choices) {
        event(wire::chat_chunk_role(head, choice.index));
        for (const auto& piece : pieces(choice.reasoning))
          event(wire::chat_chunk(head, choice.index, {choice.index, std::string(piece), "", "", {}}, false));
        for (const auto& piece : pieces(choice.content))
          event(wire::chat_chunk(head, choice.index, {choice.index, "", std::string(piece), "", {}}, false));
        event(wire::chat_chunk_finish(head, choice.index, choice.finish_reason));
      }
      if (call.include_usage) event(wire::chunk_usage(head, true, reply.usage));
      whole += "data: [DONE]\n\n";
    } else {
      whole = text_of(wire::chat_response(head, reply, call));
    }
    const char* type = call.stream ? "text/event-stream" : "application/json";
    Json line = {{"status", 200},
                 {"request", short_id(request.body)},
                 {"question", question},
                 {"cut", cut},
                 {"finish_reason", reply.choices.front().finish_reason},
                 {"completion_tokens", reply.usage.completion_tokens}};
    if (cut) {
      write_log(std::move(line));
      out->begin(200, {{"Content-Type", type}});
      out->write(whole.substr(0, whole.size() / 2));
      return out->cut();
    }
    write_log(std::move(line));
    if (call.stream) {
      out->begin(200, {{"Content-Type", type}, {"Cache-Control", "no-store"}});
      out->write(std::move(whole));
      out->finish();
    } else {
      out->send(200, {{"Content-Type", type}}, std::move(whole));
    }
  }

  void handle(const net::ServerRequest& request, const std::shared_ptr<net::Responder>& out) {
    if (request.method == "GET" && request.path == "/health")
      return out->send(200, {{"Content-Type", "application/json"}}, R"({"status":"ok"})");
    if (request.method == "GET" && request.path == "/v1/models") {
      return out->send(200, {{"Content-Type", "application/json"}}, to_text(wire::models_response({options.model}, 0)));
    }
    if (request.method == "POST" && request.path == "/v1/chat/completions") return chat(request, out);
    refuse(*out, {404, fmt::format("{} {} is not served here; POST /v1/chat/completions", request.method, request.path),
                  "invalid_request_error", "", "not_found"});
  }
};

Result<std::unique_ptr<Teacher>> Teacher::start(const TeacherOptions& options, Env& env) {
  RETORT_TRY(check_options(options));
  auto state = std::make_unique<State>();
  state->options = options;
  if (!options.log.empty()) {
    RETORT_TRY(state->open_log(env));
  }
  net::ServerOptions http;
  http.host = options.host;
  http.port = options.port;
  State* raw = state.get();
  RETORT_ASSIGN(state->server,
                net::HttpServer::start(http, [raw](net::ServerRequest request, std::shared_ptr<net::Responder> out) {
                  if (raw->options.delay_ms > 0) {
                    auto shared = std::make_shared<net::ServerRequest>(std::move(request));
                    out->after(raw->options.delay_ms, [raw, shared, out] { raw->handle(*shared, out); });
                  } else {
                    raw->handle(request, out);
                  }
                }));
  return std::unique_ptr<Teacher>(new Teacher(std::move(state)));
}

Teacher::Teacher(std::unique_ptr<State> state) : state_(std::move(state)) {}
int64_t Teacher::tokens(std::string_view text) { return static_cast<int64_t>(pieces(text).size()); }

Teacher::~Teacher() = default;
std::string Teacher::url() const { return state_->server->url(); }
int Teacher::port() const { return state_->server->port(); }

}  // namespace retort::app
