// Requests of OpenAI's API: read for the server and the teacher, written for the client.
#include <cmath>
#include <set>

#include "base/text.h"
#include "wire/openai.h"

namespace retort::wire {
namespace {

constexpr size_t kMaxStops = 4;  // OpenAI's limit
constexpr int kMaxTopLogprobs = 20;
constexpr int64_t kMaxChoices = 128;
// Each choice holds the stop strings, and looks for them after each token.
constexpr size_t kMaxStopBytes = 4096;
constexpr size_t kMaxUserBytes = 1024;
// A name this long is no slip of the finger.
constexpr size_t kMaxHintedName = 64;

// Members of a request body, read with types and ranges checked. The first problem is kept; reading goes on with
// fallbacks. Null counts as absent, as in OpenAI's API.
class Members {
 public:
  explicit Members(const Json& body) : body_(body) {
    if (!body.is_object())
      refuse("", fmt::format("the request's body must be a JSON object, not {}", body.type_name()));
  }

  std::optional<ApiError> problem;

  void refuse(const std::string& param, std::string message, const std::string& code = "invalid_value") {
    if (problem) return;
    problem = ApiError{400, std::move(message), "invalid_request_error", param, code};
  }

  void unsupported(const std::string& param, const std::string& message) {
    refuse(param, message, "unsupported_parameter");
  }

  const Json* get(const std::string& name) {
    known_.insert(name);
    const Json* value = find(body_, name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  void wrong_type(const std::string& name, const char* wanted, const Json& got) {
    refuse(name, fmt::format("`{}` must be {}, not {}", name, wanted, got.type_name()), "invalid_type");
  }

  std::optional<int64_t> integer(const std::string& name, int64_t low, int64_t high) {
    const Json* v = get(name);
    if (v == nullptr) return {};
    if (!v->is_number_integer()) {
      wrong_type(name, "an integer", *v);
      return {};
    }
    const bool over = v->is_number_unsigned() && v->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
    if (over || v->get<int64_t>() < low || v->get<int64_t>() > high) {
      refuse(name, fmt::format("`{}` is {}; it must be between {} and {}", name, to_text(*v), low, high));
      return {};
    }
    return v->get<int64_t>();
  }

  std::optional<double> number(const std::string& name, double low, double high) {
    const Json* v = get(name);
    if (v == nullptr) return {};
    if (!v->is_number()) {
      wrong_type(name, "a number", *v);
      return {};
    }
    const double value = v->get<double>();
    if (!(value >= low && value <= high)) {
      refuse(name, fmt::format("`{}` is {}; it must be between {} and {}", name, to_text(*v), low, high));
      return {};
    }
    return value;
  }

  bool boolean(const std::string& name, bool fallback) {
    const Json* v = get(name);
    if (v == nullptr) return fallback;
    if (!v->is_boolean()) {
      wrong_type(name, "true or false", *v);
      return fallback;
    }
    return v->get<bool>();
  }

  std::string text(const std::string& name) {
    const Json* v = get(name);
    if (v == nullptr) return "";
    if (!v->is_string()) {
      wrong_type(name, "a string", *v);
      return "";
    }
    return v->get<std::string>();
  }

  // A member whose only supported value is what its absence means.
  void only(const std::string& name, std::initializer_list<Json> allowed, const char* why) {
    const Json* v = get(name);
    if (v == nullptr) return;
    for (const Json& value : allowed) {
      if (*v == value) return;
    }
    unsupported(name, fmt::format("`{}` is not supported: {}", name, why));
  }

  void no_others() {
    if (!body_.is_object()) return;
    for (const auto& [name, value] : body_.items()) {
      if (known_.count(name) != 0 || value.is_null()) continue;
      if (problem) return;  // the first is what is answered
      const std::string near = name.size() > kMaxHintedName ? "" : nearest(name, {known_.begin(), known_.end()});
      unsupported(name, fmt::format("`{}` is not supported by this server{}", to_utf8(name),
                                    near.empty() ? "" : "; did you mean `" + near + "`?"));
    }
  }

 private:
  const Json& body_;
  std::set<std::string> known_;
};

void read_stop(Members& m, std::vector<std::string>& stop) {
  const Json* v = m.get("stop");
  if (v == nullptr) return;
  stop.clear();
  size_t bytes = 0;
  const auto add = [&](const Json& s) {
    if (!s.is_string()) return m.wrong_type("stop", "a string or a list of strings", *v);
    const std::string& text = s.get_ref<const std::string&>();
    if (text.empty()) return m.refuse("stop", "`stop` holds an empty string; leave it out");
    bytes += text.size();
    if (bytes > kMaxStopBytes)
      return m.refuse("stop", fmt::format("`stop` has more than {} bytes in all; shorten it", kMaxStopBytes));
    stop.push_back(text);
  };
  if (!v->is_array()) return add(*v);
  if (v->size() > kMaxStops)
    return m.refuse("stop", fmt::format("`stop` has {} strings; at most {} are allowed", v->size(), kMaxStops));
  for (const Json& s : *v) add(s);
}

// What both kinds of request share.
void read_common(Members& m, ApiCall& call, model::Request& request) {
  call.model = m.text("model");
  model::Sampling& s = request.sampling;
  if (const auto v = m.number("temperature", 0, 2)) s.temperature = *v;
  if (const auto v = m.number("top_p", 0, 1)) {
    if (*v == 0) m.refuse("top_p", "`top_p` is 0; it must be more than 0 and at most 1");
    s.top_p = *v;
  }
  if (const auto v = m.integer("top_k", -1, INT32_MAX)) s.top_k = *v < 0 ? 0 : static_cast<int>(*v);
  if (const auto v = m.integer("seed", INT64_MIN, INT64_MAX)) s.seed = static_cast<uint64_t>(*v);
  if (const auto v = m.integer("n", 1, kMaxChoices)) request.n = static_cast<int>(*v);
  read_stop(m, s.stop);
  request.user = m.text("user");
  if (request.user.size() > kMaxUserBytes)
    m.refuse("user", fmt::format("`user` has {} bytes; at most {} are allowed", request.user.size(), kMaxUserBytes));
  call.stream = m.boolean("stream", false);
  if (const Json* options = m.get("stream_options")) {
    if (!options->is_object()) return m.wrong_type("stream_options", "an object", *options);
    if (!call.stream) return m.refuse("stream_options", "`stream_options` is only for `stream: true`");
    for (const auto& [name, value] : options->items()) {
      const std::string path = "stream_options." + name;
      if (value.is_null()) continue;
      if (name != "include_usage" && !(name == "include_obfuscation" && value == false))
        return m.unsupported(path, fmt::format("`{}` is not supported", path));
      if (!value.is_boolean()) return m.wrong_type(path, "true or false", value);
      if (name == "include_usage") call.include_usage = value.get<bool>();
    }
  }
  const auto zero = {Json(0), Json(0.0)};
  m.only("frequency_penalty", zero, "only 0 is");
  m.only("presence_penalty", zero, "only 0 is");
  m.only("logit_bias", {Json::object()}, "leave it out");
}

std::string at(const char* list, size_t i) { return fmt::format("{}[{}]", list, i); }

void read_content(Members& m, const Json& content, const std::string& path, std::string& out) {
  if (content.is_null()) return;
  if (content.is_string()) {
    out = content.get<std::string>();
    return;
  }
  if (!content.is_array()) return m.wrong_type(path, "a string or a list of text parts", content);
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = fmt::format("{}[{}]", path, i);
    const Json* type = find(content[i], "type");
    const Json* text = find(content[i], "text");
    if (type == nullptr || !type->is_string())
      return m.refuse(part + ".type", fmt::format("`{}.type` is missing", part));
    if (*type != "text")
      return m.unsupported(part + ".type",
                           fmt::format("`{}.type` is {}; only \"text\" parts are supported", part, to_text(*type)));
    if (text == nullptr || !text->is_string())
      return m.refuse(part + ".text", fmt::format("`{}.text` must be a string", part), "invalid_type");
    out += text->get<std::string>();
  }
}

void read_messages(Members& m, std::vector<Message>& messages) {
  const Json* list = m.get("messages");
  if (list == nullptr) return m.refuse("messages", "`messages` is missing", "missing_required_parameter");
  if (!list->is_array()) return m.wrong_type("messages", "a list", *list);
  if (list->empty()) return m.refuse("messages", "`messages` is empty; give at least one");
  for (size_t i = 0; i < list->size(); ++i) {
    const Json& json = (*list)[i];
    const std::string path = at("messages", i);
    if (!json.is_object()) return m.wrong_type(path, "an object", json);
    Message message;
    const Json* role = find(json, "role");
    if (role == nullptr || !role->is_string())
      return m.refuse(path + ".role", fmt::format("`{}.role` must be a string", path));
    message.role = role->get<std::string>();
    if (message.role == "developer") message.role = "system";  // OpenAI's newer word; templates know the older
    if (message.role != "system" && message.role != "user" && message.role != "assistant" && message.role != "tool")
      return m.refuse(
          path + ".role",
          fmt::format("`{}.role` is {}; it must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"",
                      path, to_text(*role)));
    const Json* content = find(json, "content");
    if (content == nullptr || content->is_null()) {
      const Json* calls = find(json, "tool_calls");
      if (message.role != "assistant" ||
          ((calls == nullptr || calls->empty()) && find(json, "reasoning_content") == nullptr))
        return m.refuse(path + ".content", fmt::format("`{}.content` is missing", path), "missing_required_parameter");
    } else {
      read_content(m, *content, path + ".content", message.content);
    }
    for (const auto& [name, value] : json.items()) {
      if (name == "role" || name == "content" || value.is_null()) continue;
      const std::string member = path + "." + name;
      if (name == "reasoning_content" || name == "reasoning") {
        if (!value.is_string()) return m.wrong_type(member, "a string", value);
        message.reasoning = value.get<std::string>();
      } else if (name == "name" || name == "tool_calls" || name == "tool_call_id") {
        if (value != Json::array()) message.extra[name] = value;
      } else if (!value.empty() && name != "refusal") {  // clients send back what a response held: `annotations: []`
        return m.unsupported(member, fmt::format("`{}` is not supported", member));
      }
    }
    messages.push_back(std::move(message));
  }
}

void read_max_tokens(Members& m, model::Sampling& sampling) {
  const auto old_name = m.integer("max_tokens", 1, INT32_MAX);
  const auto new_name = m.integer("max_completion_tokens", 1, INT32_MAX);
  if (old_name && new_name && *old_name != *new_name)
    m.refuse("max_tokens",
             fmt::format("`max_tokens` is {} and `max_completion_tokens` is {}; give one", *old_name, *new_name));
  if (old_name) sampling.max_tokens = static_cast<int>(*old_name);
  if (new_name) sampling.max_tokens = static_cast<int>(*new_name);
}

// Prompts times n, before anything is copied by either.
bool allow_choices(Members& m, size_t prompts, int n, int max_choices) {
  const size_t choices = prompts * static_cast<size_t>(n);
  if (choices > static_cast<size_t>(max_choices))
    m.refuse("n", fmt::format("the request asks for {} choices (prompts times n); at most {} are allowed", choices,
                              max_choices));
  return !m.problem;
}

bool token_list(const Json& list) {
  if (!list.is_array() || list.empty()) return false;
  for (const Json& id : list) {
    if (!id.is_number_integer()) return false;
  }
  return true;
}

bool read_ids(Members& m, const Json& list, const std::string& path, std::vector<int32_t>& ids) {
  for (const Json& id : list) {
    const bool fits = !(id.is_number_unsigned() && id.get<uint64_t>() > INT32_MAX) && id.get<int64_t>() >= 0 &&
                      id.get<int64_t>() <= INT32_MAX;
    if (!fits) {
      m.refuse("prompt", fmt::format("`{}` holds {}, which is no token id", path, to_text(id)));
      return false;
    }
    ids.push_back(id.get<int32_t>());
  }
  return true;
}

}  // namespace

std::optional<ApiError> parse_chat(const Json& body, const model::Sampling& defaults, ApiCall& call, int max_choices) {
  call = ApiCall();
  Members m(body);
  if (m.problem) return m.problem;
  model::Request request;
  request.sampling = defaults;
  read_messages(m, request.messages);
  read_common(m, call, request);
  allow_choices(m, 1, request.n, max_choices);
  read_max_tokens(m, request.sampling);
  const bool logprobs = m.boolean("logprobs", false);
  const auto top = m.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top && !logprobs) m.refuse("top_logprobs", "`top_logprobs` needs `logprobs: true`");
  if (logprobs) request.top_logprobs = top ? static_cast<int>(*top) : 0;
  if (const Json* v = m.get("chat_template_kwargs")) {
    if (!v->is_object()) m.wrong_type("chat_template_kwargs", "an object", *v);
    if (v->is_object() && !v->empty()) request.template_variables = *v;
  }
  const Json* choice = m.get("tool_choice");
  const bool none = choice != nullptr && *choice == "none";
  const Json* tools = m.get("tools");
  if (tools != nullptr && !none && *tools != Json::array())
    m.unsupported("tools", "`tools` are not supported: leave them out, or set `tool_choice` to \"none\"");
  if (choice != nullptr && !none && *choice != "auto")
    m.unsupported("tool_choice", "`tool_choice` other than \"none\" is not supported");
  m.boolean("parallel_tool_calls", true);
  m.only("functions", {Json::array()}, "leave it out");
  m.only("function_call", {Json("none")}, "only \"none\" is");
  m.only("response_format", {Json{{"type", "text"}}}, "only {\"type\": \"text\"} is");
  m.only("modalities", {Json::array({"text"})}, "only [\"text\"] is");
  m.only("store", {Json(false)}, "nothing is stored here");
  m.only("metadata", {Json::object()}, "nothing is stored here");
  m.only("service_tier", {Json("auto"), Json("default")}, "only \"auto\" and \"default\" are");
  m.no_others();
  call.requests.push_back(std::move(request));
  return m.problem;
}

std::optional<ApiError> parse_completion(const Json& body, const model::Sampling& defaults, ApiCall& call,
                                         int max_choices) {
  call = ApiCall();
  call.chat = false;
  Members m(body);
  if (m.problem) return m.problem;
  model::Request request;
  request.sampling = defaults;
  read_common(m, call, request);
  call.echo = m.boolean("echo", false);
  const auto max_tokens = m.integer("max_tokens", 0, INT32_MAX);
  request.sampling.max_tokens = max_tokens ? static_cast<int>(*max_tokens) : 16;  // OpenAI's default for this path
  if (request.sampling.max_tokens == 0) {
    if (!call.echo) m.refuse("max_tokens", "`max_tokens` is 0; that needs `echo: true`, or give 1 or more");
    call.no_completion = true;
    request.sampling.max_tokens = 1;
  }
  if (const auto v = m.integer("logprobs", 0, kMaxTopLogprobs)) request.top_logprobs = static_cast<int>(*v);
  if (call.echo && call.stream && request.top_logprobs >= 0)
    m.unsupported("logprobs", "`echo` with `logprobs` is not supported in a stream; ask for a whole response");
  m.only("suffix", {Json("")}, "this server does not fill in the middle");
  m.only("best_of", {Json(1), Json(request.n)}, "only 1 is; ask for `n` choices and choose");
  const Json* prompt = m.get("prompt");
  const bool several = prompt != nullptr && prompt->is_array() && !token_list(*prompt);
  if (prompt == nullptr) {
    m.refuse("prompt", "`prompt` is missing", "missing_required_parameter");
  } else if (!allow_choices(m, several ? prompt->size() : 1, request.n, max_choices)) {
    return m.problem;
  } else if (prompt->is_string()) {
    request.prompt = prompt->get<std::string>();
    call.requests.push_back(request);
  } else if (prompt->is_array() && !several) {
    read_ids(m, *prompt, "prompt", request.prompt_ids);
    call.requests.push_back(request);
  } else if (several && !prompt->empty()) {
    for (size_t i = 0; i < prompt->size() && !m.problem; ++i) {
      const Json& one = (*prompt)[i];
      model::Request next = request;
      if (one.is_string()) {
        next.prompt = one.get<std::string>();
      } else if (!token_list(one)) {
        m.wrong_type("prompt", "a string, a list of strings, a list of token ids or a list of such lists", one);
      } else if (!read_ids(m, one, at("prompt", i), next.prompt_ids)) {
        break;
      }
      call.requests.push_back(std::move(next));
    }
  } else {
    m.wrong_type("prompt", "a string, a list of strings, a list of token ids or a list of such lists", *prompt);
  }
  // The text of token ids is only known from their tokens.
  for (model::Request& r : call.requests)
    r.prompt_logprobs = call.echo && (r.top_logprobs >= 0 || !r.prompt_ids.empty());
  if (call.echo && call.stream) {
    for (const model::Request& r : call.requests) {
      if (!r.prompt_ids.empty()) m.unsupported("echo", "`echo` of token ids is not supported in a stream");
    }
  }
  m.no_others();
  return m.problem;
}

Json encode_request(const model::Request& request, const std::string& model, const EncodeOptions& options) {
  Json body = {{"model", model}};
  const bool chat = request.prompt_ids.empty() && !request.prompt;
  if (!request.prompt_ids.empty())
    body["prompt"] = request.prompt_ids;
  else if (request.prompt)
    body["prompt"] = *request.prompt;
  else
    body["messages"] = encode(request.messages);
  const model::Sampling& s = request.sampling;
  body["temperature"] = s.temperature;
  body["top_p"] = s.top_p;
  if (s.top_k > 0) body["top_k"] = s.top_k;
  if (s.seed) body["seed"] = static_cast<int64_t>(*s.seed);
  if (s.max_tokens > 0)
    body[options.max_completion_tokens && chat ? "max_completion_tokens" : "max_tokens"] = s.max_tokens;
  if (!s.stop.empty()) body["stop"] = s.stop;
  if (request.n != 1) body["n"] = request.n;
  if (request.top_logprobs >= 0 && chat) {
    body["logprobs"] = true;
    if (request.top_logprobs > 0) body["top_logprobs"] = request.top_logprobs;
  } else if (request.top_logprobs >= 0) {
    body["logprobs"] = request.top_logprobs;
  }
  if (chat && request.template_variables.is_object()) body["chat_template_kwargs"] = request.template_variables;
  if (!request.user.empty()) body["user"] = request.user;
  if (options.stream) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  if (options.extra.is_object()) body.merge_patch(options.extra);
  return body;
}

}  // namespace retort::wire
