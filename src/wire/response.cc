// Responses of OpenAI's API: written for the server and the teacher, read for the client.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "wire/openai.h"

namespace retort::wire {
namespace {

// OpenAI's stand-in for minus infinity, which JSON lacks.
constexpr double kNoChance = -9999.0;

Json number(float logprob) {
  if (std::isnan(logprob)) return nullptr;
  if (std::isinf(logprob)) return kNoChance;
  return static_cast<double>(logprob);
}

// A token's bytes as JSON text: as they are where they are UTF-8, else as OpenAI writes parts of characters.
std::string token_text(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out = "bytes:";
  for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return out;
}

int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

Json byte_list(std::string_view bytes) {
  Json list = Json::array();
  for (const char c : bytes) list.push_back(static_cast<uint8_t>(c));
  return list;
}

// What a generated token adds to the text: all its bytes, none for a special token, which is a name.
std::string_view text_bytes(const model::Token& token) {
  return token.is_text ? std::string_view(token.bytes) : std::string_view();
}

Json chat_logprobs(const std::vector<model::Token>& tokens) {
  Json content = Json::array();
  for (const model::Token& token : tokens) {
    Json top = Json::array();
    for (const model::TokenChoice& t : token.top)
      top.push_back({{"token", token_text(t.bytes)}, {"logprob", number(t.logprob)}, {"bytes", byte_list(t.bytes)}});
    content.push_back({{"token", token_text(token.bytes)},
                       {"logprob", number(token.logprob)},
                       {"bytes", byte_list(text_bytes(token))},
                       {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

struct CompletionLogprobs {
  Json tokens = Json::array(), values = Json::array(), top = Json::array(), offsets = Json::array();
  int64_t at = 0;

  void add(const model::Token& token) {
    tokens.push_back(token_text(token.bytes));
    values.push_back(number(token.logprob));
    offsets.push_back(at);
    at += characters(text_bytes(token));
    if (std::isnan(token.logprob)) {  // the first token of a prompt has nothing before it
      top.push_back(nullptr);
      return;
    }
    Json map = Json::object();
    for (const model::TokenChoice& t : token.top) map[token_text(t.bytes)] = number(t.logprob);
    map[token_text(token.bytes)] = number(token.logprob);  // always there, as in OpenAI's API
    top.push_back(std::move(map));
  }
  Json json() && {
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(top)},
            {"text_offset", std::move(offsets)}};
  }
};

Json head_json(const ResponseHead& head, const char* object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

Json chunk(const ResponseHead& head, const char* object, Json choice) {
  Json json = head_json(head, object);
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

// At most `most` bytes of `text`, "..." where it has more.
std::string shortened(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  return std::string(text.substr(0, utf8_complete_prefix(text.substr(0, most)))) + "...";
}

constexpr const char* kChatChunk = "chat.completion.chunk";

Error garbage(std::string_view what, const Json& got) {
  return fail(Code::Unavailable, "not a completion: {} in {}", what, to_text(got).substr(0, 200));
}

// Where `json[key]` is a string, its text; "" where absent, null or something else.
std::string text_of(const Json& json, std::string_view key) {
  const Json* v = find(json, key);
  return v != nullptr && v->is_string() ? v->get<std::string>() : std::string();
}

// A count as a peer states it: the number; 0 where absent or null; kAbsurd where it is no count that can be.
constexpr int64_t kAbsurd = -1;
int64_t count_of(const Json& json, std::string_view key) {
  const auto count = get_int(json, key, 0);
  return count.ok() && *count >= 0 && *count <= kMaxCount ? *count : kAbsurd;
}

std::string read_bytes(const Json& entry) {
  const Json* bytes = find(entry, "bytes");
  if (bytes == nullptr || !bytes->is_array()) return text_of(entry, "token");
  std::string out;
  for (const Json& b : *bytes) out += static_cast<char>(b.is_number_integer() ? b.get<int64_t>() : '?');
  return out;
}

float read_logprob(const Json* value) {
  return value != nullptr && value->is_number() ? value->get<float>() : std::nanf("");
}

void read_logprobs(const Json& choice, std::vector<model::Token>& out) {
  const Json* logprobs = find(choice, "logprobs");
  if (logprobs == nullptr || !logprobs->is_object()) return;
  if (const Json* content = find(*logprobs, "content"); content != nullptr && content->is_array()) {
    for (const Json& entry : *content) {
      model::Token token;
      token.bytes = read_bytes(entry);
      if (token.bytes.empty()) {  // an end token has a name and no bytes
        token.bytes = text_of(entry, "token");
        token.is_text = token.bytes.empty();
      }
      token.logprob = read_logprob(find(entry, "logprob"));
      if (const Json* top = find(entry, "top_logprobs"); top != nullptr && top->is_array()) {
        for (const Json& t : *top) token.top.push_back({-1, read_bytes(t), read_logprob(find(t, "logprob"))});
      }
      out.push_back(std::move(token));
    }
    return;
  }
  const Json* tokens = find(*logprobs, "tokens");
  const Json* values = find(*logprobs, "token_logprobs");
  const Json* top = find(*logprobs, "top_logprobs");
  if (tokens == nullptr || values == nullptr || !tokens->is_array() || !values->is_array()) return;
  for (size_t i = 0; i < tokens->size() && i < values->size(); ++i) {
    model::Token token;
    if ((*tokens)[i].is_string()) token.bytes = (*tokens)[i].get<std::string>();
    token.logprob = read_logprob(&(*values)[i]);
    if (top != nullptr && top->is_array() && i < top->size() && (*top)[i].is_object()) {
      for (const auto& [text, value] : (*top)[i].items()) token.top.push_back({-1, text, read_logprob(&value)});
      std::stable_sort(token.top.begin(), token.top.end(),
                       [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
    }
    out.push_back(std::move(token));
  }
}

// The thought as different servers name it.
std::string reasoning_of(const Json& message) {
  std::string reasoning = text_of(message, "reasoning_content");
  return reasoning.empty() ? text_of(message, "reasoning") : reasoning;
}

void mark_text(model::Choice& choice) {
  choice.text = choice.reasoning.empty() ? choice.content : "<think>" + choice.reasoning + "</think>" + choice.content;
}

Result<int> index_of(const Json& choice) {
  RETORT_ASSIGN(const int64_t index, get_int(choice, "index", 0));
  if (index < 0 || index > 100'000) return fail(Code::Invalid, "`index` is {}", index);
  return static_cast<int>(index);
}

}  // namespace

void UsageReader::read(const Json& body) {
  const Json* u = find(body, "usage");
  if (u == nullptr || !u->is_object()) return;
  const auto take = [&](const Json& from, std::string_view key, int64_t& most) {
    const int64_t count = count_of(from, key);
    absurd_ = absurd_ || count == kAbsurd;
    most = std::max(most, count);
  };
  int64_t total = 0;
  take(*u, "prompt_tokens", most_.prompt_tokens);
  take(*u, "completion_tokens", most_.completion_tokens);
  take(*u, "total_tokens", total);
  // Some leave the thought out of completion_tokens and show it in the total alone.
  most_.completion_tokens = std::max(most_.completion_tokens, total - most_.prompt_tokens);
  const Json* completion = find(*u, "completion_tokens_details");
  const Json* prompt = find(*u, "prompt_tokens_details");
  take(completion != nullptr ? *completion : *u, "reasoning_tokens", most_.reasoning_tokens);
  take(prompt != nullptr ? *prompt : *u, "cached_tokens", most_.cached_tokens);
  take(*u, "prompt_cache_hit_tokens", most_.cached_tokens);  // DeepSeek's name
}

Json encode(const ApiError& error) {
  const auto or_null = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
  return {{"error",
           {{"message", shortened(error.message, 1000)},
            {"type", error.type},
            {"param", or_null(shortened(error.param, 200))},
            {"code", or_null(error.code)}}}};
}

ApiError decode_error(int status, std::string_view body) {
  ApiError error{status, "", "", "", ""};
  const auto json = parse_json(body, kMaxAnswerValues);
  if (json.ok() && json->is_object()) {
    const Json* inner = find(*json, "error");
    const Json& from = inner != nullptr && inner->is_object() ? *inner : *json;
    for (const char* key : {"message", "detail", "error"}) {
      if (!error.message.empty()) break;
      const Json* words = find(from, key);
      if (words == nullptr || words->is_null()) continue;
      error.message = words->is_string() ? words->get<std::string>() : to_text(*words);
    }
    error.type = text_of(from, "type");
    error.param = text_of(from, "param");
    error.code = text_of(from, "code");
  }
  if (error.message.empty()) error.message = body.empty() ? "no message" : to_utf8(body);
  error.message = shortened(error.message, 300);
  return error;
}

Json encode_usage(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

Json chat_response(const ResponseHead& head, const model::Reply& reply, const ApiCall& call) {
  Json json = head_json(head, "chat.completion");
  Json choices = Json::array();
  const bool logprobs = !call.requests.empty() && call.requests[0].top_logprobs >= 0;
  for (const model::Choice& choice : reply.choices) {
    Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    choices.push_back({{"index", choice.index},
                       {"message", std::move(message)},
                       {"logprobs", logprobs ? chat_logprobs(choice.tokens) : Json(nullptr)},
                       {"finish_reason", choice.finish_reason}});
  }
  json["choices"] = std::move(choices);
  json["usage"] = encode_usage(reply.usage);
  return json;
}

Json completion_response(const ResponseHead& head, const std::vector<model::Reply>& replies, const ApiCall& call) {
  Json json = head_json(head, "text_completion");
  Json choices = Json::array();
  Usage usage;
  for (size_t p = 0; p < replies.size(); ++p) {
    const model::Reply& reply = replies[p];
    const model::Request& request = call.requests[p];
    std::string prompt;
    if (call.echo && request.prompt) prompt = *request.prompt;
    if (call.echo && !request.prompt) {
      for (const model::Token& token : reply.prompt_tokens) prompt += token.bytes;
    }
    for (const model::Choice& choice : reply.choices) {
      CompletionLogprobs logprobs;
      if (call.echo) {
        for (const model::Token& token : reply.prompt_tokens) logprobs.add(token);
      }
      if (!call.no_completion) {
        for (const model::Token& token : choice.tokens) logprobs.add(token);
      }
      choices.push_back({{"index", static_cast<int>(p) * request.n + choice.index},
                         {"text", call.no_completion ? prompt : prompt + choice.text},
                         {"logprobs", request.top_logprobs >= 0 ? std::move(logprobs).json() : Json(nullptr)},
                         {"finish_reason", call.no_completion ? "length" : choice.finish_reason}});
    }
    usage.prompt_tokens += reply.usage.prompt_tokens;
    if (!call.no_completion) usage.completion_tokens += reply.usage.completion_tokens;
  }
  json["choices"] = std::move(choices);
  json["usage"] = encode_usage(usage);
  return json;
}

Json chat_chunk_role(const ResponseHead& head, int index) {
  return chunk(head, kChatChunk,
               {{"index", index},
                {"delta", {{"role", "assistant"}, {"content", ""}}},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}});
}

Json chat_chunk(const ResponseHead& head, int index, const model::Delta& delta, bool logprobs) {
  Json change = Json::object();
  if (!delta.reasoning.empty()) change["reasoning_content"] = delta.reasoning;
  if (!delta.content.empty() || delta.reasoning.empty()) change["content"] = delta.content;
  return chunk(head, kChatChunk,
               {{"index", index},
                {"delta", std::move(change)},
                {"logprobs", logprobs && !delta.tokens.empty() ? chat_logprobs(delta.tokens) : Json(nullptr)},
                {"finish_reason", nullptr}});
}

Json chat_chunk_finish(const ResponseHead& head, int index, const std::string& finish_reason) {
  return chunk(head, kChatChunk,
               {{"index", index}, {"delta", Json::object()}, {"logprobs", nullptr}, {"finish_reason", finish_reason}});
}

Json completion_chunk(const ResponseHead& head, int index, const model::Delta& delta, bool logprobs,
                      int64_t text_offset) {
  CompletionLogprobs values;
  values.at = text_offset;
  for (const model::Token& token : delta.tokens) values.add(token);
  return chunk(head, "text_completion",
               {{"index", index},
                {"text", delta.text},
                {"logprobs", logprobs && !delta.tokens.empty() ? std::move(values).json() : Json(nullptr)},
                {"finish_reason", nullptr}});
}

Json completion_chunk_finish(const ResponseHead& head, int index, const std::string& finish_reason) {
  return chunk(head, "text_completion",
               {{"index", index}, {"text", ""}, {"logprobs", nullptr}, {"finish_reason", finish_reason}});
}

Json chunk_usage(const ResponseHead& head, bool chat, const Usage& usage) {
  Json json = head_json(head, chat ? kChatChunk : "text_completion");
  json["choices"] = Json::array();
  json["usage"] = encode_usage(usage);
  return json;
}

Json models_response(const std::vector<std::string>& names, int64_t created) {
  Json data = Json::array();
  for (const std::string& name : names)
    data.push_back({{"id", name}, {"object", "model"}, {"created", created}, {"owned_by", "retort"}});
  return {{"object", "list"}, {"data", std::move(data)}};
}

Result<model::Reply> decode_response(const Json& body) {
  const Json* choices = find(body, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return garbage("no `choices`", body);
  model::Reply reply;
  reply.model = text_of(body, "model");
  UsageReader usage;
  usage.read(body);
  reply.usage = usage.usage();
  for (const Json& json : *choices) {
    const auto index = index_of(json);
    if (!json.is_object() || !index.ok()) return garbage("a malformed choice", json);
    model::Choice choice;
    choice.index = *index;
    choice.finish_reason = text_of(json, "finish_reason");
    read_logprobs(json, choice.tokens);
    const Json* message = find(json, "message");
    if (message == nullptr) {
      const Json* text = find(json, "text");
      if (text == nullptr || !text->is_string()) return garbage("a choice without message or text", json);
      choice.text = choice.content = text->get<std::string>();
    } else {
      if (!message->is_object()) return garbage("a malformed message", json);
      Message decoded;
      Json with_role = *message;
      with_role["role"] = "assistant";  // some servers leave it out
      if (const Status status = decode(with_role, decoded); !status.ok()) return garbage(status.error().message, json);
      if (decoded.content.empty()) decoded.content = text_of(*message, "refusal");
      choice.reasoning = decoded.reasoning;
      choice.content = decoded.content;
      if (choice.reasoning.empty()) {
        choice.text = choice.content;
        choice.content.clear();
        model::split_think(choice.text, choice.reasoning, choice.content);
      } else {
        mark_text(choice);
      }
    }
    if (choice.finish_reason.empty()) choice.finish_reason = "unknown";
    reply.choices.push_back(std::move(choice));
  }
  std::stable_sort(reply.choices.begin(), reply.choices.end(),
                   [](const auto& a, const auto& b) { return a.index < b.index; });
  return reply;
}

StreamDecoder::Part& StreamDecoder::part(int index) {
  Part& p = parts_[index];
  p.choice.index = index;
  return p;
}

void StreamDecoder::append(Part& p, model::Delta delta, std::vector<model::Delta>& out) {
  delta.index = p.choice.index;
  p.choice.text += delta.text;
  p.choice.reasoning += delta.reasoning;
  p.choice.content += delta.content;
  p.choice.tokens.insert(p.choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  if (!delta.text.empty() || !delta.reasoning.empty() || !delta.content.empty() || !delta.tokens.empty())
    out.push_back(std::move(delta));
}

Status StreamDecoder::chunk(const Json& json, std::vector<model::Delta>& out) {
  const Json* choices = find(json, "choices");
  const Json* usage = find(json, "usage");
  if ((choices == nullptr || !choices->is_array()) && (usage == nullptr || !usage->is_object()))
    return garbage("no `choices`", json);
  if (model_.empty()) model_ = text_of(json, "model");
  usage_.read(json);
  if (choices == nullptr || !choices->is_array()) return {};
  for (const Json& choice : *choices) {
    const auto index = index_of(choice);
    if (!choice.is_object() || !index.ok()) return garbage("a malformed choice", json);
    if (parts_.size() > 4096) return garbage("thousands of choices", json);
    Part& p = part(*index);
    model::Delta delta;
    read_logprobs(choice, delta.tokens);
    if (const Json* change = find(choice, "delta"); change != nullptr) {
      const std::string reasoning = reasoning_of(*change);
      std::string content = text_of(*change, "content");
      if (content.empty()) content = text_of(*change, "refusal");
      if (!reasoning.empty()) {
        if (!p.own_reasoning) p.splitter.finish(delta.reasoning, delta.content);  // white space may come first
        delta.text += p.thinking ? reasoning : "<think>" + reasoning;
        delta.reasoning += reasoning;
        p.own_reasoning = p.thinking = true;
      }
      if (!content.empty() && p.own_reasoning) {
        delta.text += p.thinking ? "</think>" + content : content;
        delta.content += content;
        p.thinking = false;
      } else if (!content.empty()) {
        delta.text += content;
        p.splitter.feed(content, delta.reasoning, delta.content);
      }
    } else {
      p.chat = false;
      delta.text = delta.content = text_of(choice, "text");
    }
    append(p, std::move(delta), out);
    const std::string reason = text_of(choice, "finish_reason");
    if (!reason.empty()) p.choice.finish_reason = reason;
  }
  return {};
}

bool StreamDecoder::complete(int n) const {
  if (parts_.size() < static_cast<size_t>(n)) return false;
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const auto& p) { return !p.second.choice.finish_reason.empty(); });
}

model::Reply StreamDecoder::finish(std::vector<model::Delta>& out) {
  model::Reply reply;
  reply.model = model_;
  reply.usage = usage_.usage();
  for (auto& [index, p] : parts_) {
    if (p.chat && !p.own_reasoning) {
      model::Delta last;
      p.splitter.finish(last.reasoning, last.content);
      append(p, std::move(last), out);
      // A thought that the template opened shows itself only by its end: the pieces were shown as content by then.
      if (p.choice.reasoning.empty() && p.choice.content.find("</think>") != std::string::npos) {
        p.choice.content.clear();
        model::split_think(p.choice.text, p.choice.reasoning, p.choice.content);
      }
    } else if (p.thinking) {
      p.choice.text += "</think>";
    }
    if (p.choice.finish_reason.empty()) p.choice.finish_reason = "unknown";
    reply.choices.push_back(std::move(p.choice));
  }
  return reply;
}

}  // namespace retort::wire
