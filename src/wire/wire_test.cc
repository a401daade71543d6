#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "net/fake_transport.h"
#include "net/sse.h"
#include "wire/api_generator.h"
#include "wire/openai.h"

namespace retort::wire {
namespace {

using net::FakeExchange;
using net::FakeTransport;
using testing::HasSubstr;

Json json(const char* text) {
  auto parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? *parsed : Json();
}

std::string chat_param(const std::string& members) {
  ApiCall call;
  const auto error =
      parse_chat(json((R"({"messages":[{"role":"user","content":"hi"}])" + members + "}").c_str()), {}, call);
  return error ? error->param + (error->code == "unsupported_parameter" ? "!" : "") : "ok";
}

std::string completion_param(const std::string& members) {
  ApiCall call;
  const auto error = parse_completion(json(("{" + members + "}").c_str()), {}, call);
  return error ? error->param + (error->code == "unsupported_parameter" ? "!" : "") : "ok";
}

TEST(ParseChat, ReadsEverythingItSupports) {
  ApiCall call;
  const auto error = parse_chat(json(R"({"model":"m","messages":[{"role":"developer","content":"be brief"},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"bob"},
        {"role":"assistant","content":"c","reasoning_content":"r","refusal":null,"annotations":[]}],
        "max_completion_tokens":7,"n":3,"stop":["x","y"],"seed":-5,"temperature":0.5,"top_p":0.9,"top_k":40,
        "logprobs":true,"top_logprobs":20,"stream":true,"stream_options":{"include_usage":true},"user":"u",
        "chat_template_kwargs":{"enable_thinking":false},"frequency_penalty":0,"presence_penalty":0.0,"logit_bias":{},
        "tools":[],"response_format":{"type":"text"},"modalities":["text"],"store":false,"service_tier":"auto","audio":null})"),
                                {}, call);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(call.model, "m");
  EXPECT_TRUE(call.stream && call.include_usage);
  ASSERT_EQ(call.requests.size(), 1u);
  const model::Request& r = call.requests[0];
  ASSERT_EQ(r.messages.size(), 3u);
  EXPECT_EQ(r.messages[0].role, "system");
  EXPECT_EQ(r.messages[1].content, "ab");
  EXPECT_EQ(r.messages[1].extra["name"], "bob");
  EXPECT_EQ(r.messages[2].reasoning, "r");
  EXPECT_EQ(r.n, 3);
  EXPECT_EQ(r.top_logprobs, 20);
  EXPECT_EQ(r.user, "u");
  EXPECT_EQ(r.template_variables["enable_thinking"], false);
  EXPECT_EQ(r.sampling.max_tokens, 7);
  EXPECT_EQ(r.sampling.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(r.sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(r.sampling.temperature, 0.5);
  EXPECT_EQ(r.sampling.top_k, 40);
}

TEST(ParseChat, DefaultsAreTheModels) {
  ApiCall call;
  model::Sampling defaults;
  defaults.temperature = 0.2;
  ASSERT_FALSE(parse_chat(json(R"({"messages":[{"role":"user","content":"hi"}]})"), defaults, call));
  EXPECT_EQ(call.requests[0].sampling.temperature, 0.2);
  EXPECT_EQ(call.requests[0].sampling.max_tokens, 0);
  EXPECT_EQ(call.requests[0].top_logprobs, -1);
}

TEST(ParseChat, NamesWhatItRefuses) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(,"tools":[{"type":"function","function":{"name":"f"}}])", "tools!"},
      {R"(,"tools":[{"type":"function"}],"tool_choice":"none")", "ok"},
      {R"(,"tool_choice":"required")", "tool_choice!"},
      {R"(,"functions":[{}])", "functions!"},
      {R"(,"response_format":{"type":"json_object"})", "response_format!"},
      {R"(,"logit_bias":{"5":1})", "logit_bias!"},
      {R"(,"presence_penalty":0.5)", "presence_penalty!"},
      {R"(,"frequency_penalty":-1)", "frequency_penalty!"},
      {R"(,"modalities":["text","audio"])", "modalities!"},
      {R"(,"audio":{})", "audio!"},
      {R"(,"store":true)", "store!"},
      {R"(,"reasoning_effort":"high")", "reasoning_effort!"},
      {R"(,"temprature":1)", "temprature!"},
      {R"(,"temperature":2.5)", "temperature"},
      {R"(,"temperature":"hot")", "temperature"},
      {R"(,"top_p":-0.1)", "top_p"},
      {R"(,"n":0)", "n"},
      {R"(,"n":1000)", "n"},
      {R"(,"n":18446744073709551615)", "n"},
      {R"(,"n":1.5)", "n"},
      {R"(,"max_tokens":0)", "max_tokens"},
      {R"(,"max_tokens":5,"max_completion_tokens":6)", "max_tokens"},
      {R"(,"max_tokens":5,"max_completion_tokens":5)", "ok"},
      {R"(,"stop":["a","b","c","d","e"])", "stop"},
      {R"(,"stop":[""])", "stop"},
      {R"(,"stop":5)", "stop"},
      {R"(,"seed":1.5)", "seed"},
      {R"(,"top_logprobs":3)", "top_logprobs"},
      {R"(,"logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"(,"logprobs":3)", "logprobs"},
      {R"(,"stream_options":{"include_usage":true})", "stream_options"},
      {R"(,"stream":true,"stream_options":{"x":true})", "stream_options.x!"},
      {R"(,"stream":"yes")", "stream"},
      {R"(,"chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"(,"user":5)", "user"},
  };
  for (const auto& [members, param] : cases) EXPECT_EQ(chat_param(members), param) << members;
}

TEST(ParseChat, MessagesAreChecked) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":["hi"]})", "messages[0]"},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"robot","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})", "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":"x","audio":{"id":"1"}}]})", "messages[0].audio"},
      {R"([1])", ""},
  };
  for (const auto& [body, param] : cases) {
    ApiCall call;
    const auto error = parse_chat(json(body), {}, call);
    ASSERT_TRUE(error) << body;
    EXPECT_EQ(error->status, 400);
    EXPECT_EQ(error->param, param) << body;
  }
}

TEST(ParseCompletion, PromptsOfEveryForm) {
  ApiCall call;
  ASSERT_FALSE(parse_completion(json(R"({"prompt":"a","echo":true,"logprobs":2,"max_tokens":0})"), {}, call));
  EXPECT_TRUE(call.echo && call.no_completion && !call.chat);
  EXPECT_EQ(call.requests[0].prompt, "a");
  EXPECT_TRUE(call.requests[0].prompt_logprobs);
  EXPECT_EQ(call.requests[0].top_logprobs, 2);
  ASSERT_FALSE(parse_completion(json(R"({"prompt":["a","b"],"n":2})"), {}, call));
  EXPECT_EQ(call.requests.size(), 2u);
  EXPECT_EQ(call.requests[1].prompt, "b");
  EXPECT_EQ(call.requests[1].sampling.max_tokens, 16);
  ASSERT_FALSE(parse_completion(json(R"({"prompt":[1,2,3]})"), {}, call));
  EXPECT_EQ(call.requests[0].prompt_ids, (std::vector<int32_t>{1, 2, 3}));
  ASSERT_FALSE(parse_completion(json(R"({"prompt":[[1,2],[3]]})"), {}, call));
  EXPECT_EQ(call.requests[1].prompt_ids, (std::vector<int32_t>{3}));
  const std::pair<const char*, const char*> cases[] = {
      {R"("prompt":null)", "prompt"},
      {R"("prompt":[])", "prompt"},
      {R"("prompt":[[]])", "prompt"},
      {R"("prompt":[1,-2])", "prompt"},
      {R"("prompt":[1,4294967296])", "prompt"},
      {R"("prompt":[1,18446744073709551615])", "prompt"},
      {R"("prompt":["a",5])", "prompt"},
      {R"("prompt":5)", "prompt"},
      {R"("prompt":"a","suffix":"b")", "suffix!"},
      {R"("prompt":"a","best_of":3)", "best_of!"},
      {R"("prompt":"a","max_tokens":0)", "max_tokens"},
      {R"("prompt":"a","logprobs":true)", "logprobs"},
      {R"("prompt":"a","messages":[])", "messages!"},
      {R"("prompt":"a","echo":true,"stream":true,"logprobs":1)", "logprobs!"},
  };
  for (const auto& [members, param] : cases) EXPECT_EQ(completion_param(members), param) << members;
}

// What is asked for is bounded before it is copied: prompts by choices, and the texts that each choice holds.
TEST(Parse, WorkIsBoundedBeforeItIsCopied) {
  ApiCall call;
  const auto refused = [&](const Json& body) {
    const bool chat = find(body, "messages") != nullptr;
    const auto error = chat ? parse_chat(body, {}, call, 8) : parse_completion(body, {}, call, 8);
    EXPECT_LE(call.requests.size(), 8u);
    return error ? error->param : "";
  };
  const Json hi = Json::array({Json{{"role", "user"}, {"content", "hi"}}});
  Json many = Json::array();
  for (int i = 0; i < 20'000; ++i) many.push_back("a");
  EXPECT_EQ(refused({{"prompt", many}, {"stop", std::string(4000, 'x')}}), "n");
  EXPECT_TRUE(call.requests.empty());
  EXPECT_EQ(refused({{"prompt", {"a", "b", "c"}}, {"n", 3}}), "n");
  EXPECT_EQ(refused({{"prompt", {"a", "b"}}, {"n", 4}}), "");
  EXPECT_EQ(refused({{"prompt", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, {"n", 8}}), "");  // one prompt
  EXPECT_EQ(refused({{"messages", hi}, {"n", 9}}), "n");
  EXPECT_EQ(refused({{"prompt", "a"}, {"stop", std::string(5000, 'x')}}), "stop");
  EXPECT_EQ(refused({{"prompt", "a"}, {"stop", {std::string(3000, 'x'), std::string(3000, 'y')}}}), "stop");
  EXPECT_EQ(refused({{"messages", hi}, {"user", std::string(2000, 'u')}}), "user");
}

TEST(Parse, WhatAClientSentIsNotSentBackAtLength) {
  const std::string many(3'000'000, 'r');
  ApiCall call;
  for (const Json& body : {Json{{"messages", Json::array({Json{{"role", many}, {"content", "hi"}}})}},
                           Json{{"messages", Json::array({Json{{"role", "user"}, {"content", "hi"}, {many, 1}}})}},
                           Json{{"messages", Json::array({Json{{"role", "user"}, {"content", "hi"}}})}, {many, 1}}}) {
    const auto error = parse_chat(body, {}, call);
    ASSERT_TRUE(error);
    EXPECT_LT(to_text(encode(*error)).size(), 2000u);
  }
}

TEST(Parse, MutatedRequestsNeverCrash) {
  Random random(11);
  const std::string good =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"n":3,"stop":["x"],"seed":5,)"
      R"("logprobs":true,"top_logprobs":2,"stream":true,"stream_options":{"include_usage":true},"prompt":[[1,2],[3]],"echo":true})";
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (uint64_t k = 1 + random.below(3); k > 0; --k) {
      const size_t at = random.below(bytes.size());
      const char* bits[] = {"null", "-1", "[", "{}", "\"", "1e999", "true", "9223372036854775808"};
      if (random.below(2) == 0)
        bytes[at] = static_cast<char>(random.below(256));
      else
        bytes.replace(at, random.below(4), bits[random.below(8)]);
    }
    const auto body = parse_json(bytes);
    if (!body.ok()) continue;
    ++parsed;
    ApiCall call;
    (void)parse_chat(*body, {}, call);
    (void)parse_completion(*body, {}, call);
    (void)decode_response(*body);
    StreamDecoder decoder;
    std::vector<model::Delta> out;
    (void)decoder.chunk(*body, out);
    (void)decode_error(400, bytes);
  }
  EXPECT_GT(parsed, 500);
}

// An API that parts the thought itself may send content before it, and go back to thinking after it.
TEST(Wire, StreamsThatMixContentAndThought) {
  StreamDecoder decoder;
  std::vector<model::Delta> out;
  const auto send = [&](const char* key, const char* text) {
    const Json choice = {{"index", 0}, {"delta", {{key, text}}}};
    ASSERT_TRUE(decoder.chunk({{"choices", Json::array({choice})}}, out).ok());
  };
  send("content", " \n<");
  send("reasoning_content", "one ");
  send("reasoning_content", "two");
  send("content", "answer");
  send("reasoning_content", " three");
  const model::Reply reply = decoder.finish(out);
  EXPECT_EQ(reply.choices[0].content, " \n<answer");
  EXPECT_EQ(reply.choices[0].reasoning, "one two three");
  EXPECT_EQ(reply.choices[0].text, " \n<<think>one two</think>answer<think> three</think>");
  std::string shown;
  for (const model::Delta& delta : out) shown += delta.content;
  EXPECT_EQ(shown, reply.choices[0].content);
}

TEST(Wire, RequestsRoundTrip) {
  model::Request request;
  request.messages = {{"user", "hi", "", nullptr}};
  request.n = 2;
  request.sampling.temperature = 0.25;
  request.sampling.top_k = 5;
  request.sampling.seed = UINT64_MAX;
  request.sampling.max_tokens = 9;
  request.sampling.stop = {"z"};
  request.top_logprobs = 3;
  request.user = "u";
  EncodeOptions options;
  options.stream = true;
  options.max_completion_tokens = true;
  ApiCall call;
  const auto error = parse_chat(encode_request(request, "m", options), {}, call);
  ASSERT_FALSE(error) << error->message;
  const model::Request& r = call.requests[0];
  EXPECT_EQ(r.messages, request.messages);
  EXPECT_EQ(r.n, 2);
  EXPECT_EQ(r.sampling.seed, UINT64_MAX);
  EXPECT_EQ(r.sampling.max_tokens, 9);
  EXPECT_EQ(r.sampling.stop, request.sampling.stop);
  EXPECT_EQ(r.top_logprobs, 3);
  EXPECT_TRUE(call.stream && call.include_usage);
  options.extra = {{"temperature", nullptr}, {"reasoning_effort", "low"}};
  const Json body = encode_request(request, "m", options);
  EXPECT_EQ(find(body, "temperature"), nullptr);
  EXPECT_EQ(body["reasoning_effort"], "low");
}

TEST(Wire, ResponsesRoundTrip) {
  model::Reply reply;
  reply.usage = {5, 7, 2};
  model::Token token;
  token.bytes = "\xC3";
  token.logprob = -0.5f;
  token.top = {{1, "a", -0.25f}, {2, "\xC3", -0.5f}};
  for (int i = 0; i < 2; ++i) reply.choices.push_back({i, "<think>why</think>so", "why", "so", "stop", {token}});
  ApiCall call;
  call.requests.resize(1);
  call.requests[0].top_logprobs = 2;
  const Json body = chat_response({"id", 3, "m"}, reply, call);
  EXPECT_EQ(body["choices"][1]["message"]["reasoning_content"], "why");
  EXPECT_EQ(body["choices"][0]["logprobs"]["content"][0]["token"], "bytes:\\xc3");
  EXPECT_EQ(body["usage"]["total_tokens"], 12);
  const auto back = decode_response(body);
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->model, "m");
  EXPECT_EQ(back->usage.reasoning_tokens, 2);
  ASSERT_EQ(back->choices.size(), 2u);
  EXPECT_EQ(back->choices[1].content, "so");
  EXPECT_EQ(back->choices[1].reasoning, "why");
  EXPECT_EQ(back->choices[1].text, "<think>why</think>so");
  ASSERT_EQ(back->choices[0].tokens.size(), 1u);
  EXPECT_EQ(back->choices[0].tokens[0].bytes, "\xC3");
  EXPECT_EQ(back->choices[0].tokens[0].top[0].logprob, -0.25f);
}

TEST(Wire, CompletionWithEchoAndLogprobs) {
  model::Reply reply;
  const auto token = [](const char* bytes, float logprob) {
    model::Token t;
    t.bytes = bytes;
    t.logprob = logprob;
    return t;
  };
  reply.prompt_tokens = {token("\xC3\xA9", __builtin_nanf("")), token("b", -1)};
  reply.choices.push_back({0, "cd", "", "cd", "length", {token("c", -2), token("d", -__builtin_inff())}});
  ApiCall call;
  ASSERT_FALSE(parse_completion(json(R"({"prompt":"éb","echo":true,"logprobs":0})"), {}, call));
  const Json choice = completion_response({"id", 3, "m"}, {reply}, call)["choices"][0];
  EXPECT_EQ(choice["text"],
            "\xC3\xA9"
            "bcd");
  EXPECT_EQ(to_text(choice["logprobs"]["token_logprobs"]), "[null,-1.0,-2.0,-9999.0]");
  EXPECT_EQ(to_text(choice["logprobs"]["text_offset"]), "[0,1,2,3]");
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1]["b"], -1.0);
}

// --- ApiGenerator over the scripted transport ---

const char* kAnswer =
    R"({"id":"1","model":"teacher-1","choices":[{"index":0,"message":{"role":"assistant","content":"4",
  "reasoning_content":"2+2"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,
  "completion_tokens_details":{"reasoning_tokens":2}}})";

struct Outcome {
  Result<model::Reply> reply = fail(Code::Internal, "unset");
  std::string content, reasoning, text;  // of the deltas, choice 0
  std::vector<net::HttpRequest> requests;
};

Outcome ask(const FakeExchange& exchange, bool stream, int n = 1) {
  FakeTransport transport([&](const net::HttpRequest&, int64_t) { return exchange; });
  ApiOptions options;
  options.base_url = "http://teacher.example/v1/";
  options.model = "teacher";
  options.stream = stream;
  ApiGenerator generator(transport, options, Secret("sk-1"));
  model::Request request;
  request.messages = {{"user", "2+2?", "", nullptr}};
  request.n = n;
  Outcome out;
  std::promise<void> done;
  generator.submit(request,
                   {[&](const model::Delta& d) {
                      if (d.index != 0) return;
                      out.content += d.content;
                      out.reasoning += d.reasoning;
                      out.text += d.text;
                    },
                    [&](Result<model::Reply> r) {
                      out.reply = std::move(r);
                      done.set_value();
                    }},
                   {});
  done.get_future().get();
  out.requests = transport.requests();
  return out;
}

FakeExchange whole(int status, std::string body, net::Headers headers = {}) {
  FakeExchange x;
  x.status = status;
  x.headers = std::move(headers);
  x.chunks = {std::move(body)};
  return x;
}

TEST(ApiGenerator, WholeResponse) {
  const Outcome o = ask(whole(200, kAnswer), false);
  ASSERT_TRUE(o.reply.ok()) << o.reply.error().message;
  EXPECT_EQ(o.reply->choices[0].content, "4");
  EXPECT_EQ(o.reply->choices[0].reasoning, "2+2");
  EXPECT_EQ(o.reply->usage.reasoning_tokens, 2);
  EXPECT_EQ(o.reply->model, "teacher-1");
  EXPECT_EQ(o.reply->raw, kAnswer);
  EXPECT_EQ(o.requests[0].url, "http://teacher.example/v1/chat/completions");
  EXPECT_EQ(o.requests[0].bearer.reveal(), "sk-1");
  EXPECT_EQ(o.content, "4");
}

TEST(ApiGenerator, InlineThinkIsParted) {
  const char* body = R"({"choices":[{"message":{"content":"<think>\n2+2\n</think>\n\n4"},"finish_reason":"stop"}]})";
  const Outcome o = ask(whole(200, body), false);
  ASSERT_TRUE(o.reply.ok()) << o.reply.error().message;
  EXPECT_EQ(o.reply->choices[0].reasoning, "2+2");
  EXPECT_EQ(o.reply->choices[0].content, "4");
  const char* other = R"({"choices":[{"message":{"content":"4","reasoning":"r"},"finish_reason":"stop"}]})";
  EXPECT_EQ(ask(whole(200, other), false).reply->choices[0].reasoning, "r");
}

std::string delta_event(const std::string& delta, const char* finish = "null") {
  return net::sse_event(
      fmt::format(R"({{"model":"t","choices":[{{"index":0,"delta":{{{}}},"finish_reason":{}}}]}})", delta, finish));
}

std::string stream_body(bool inline_think) {
  std::string s = ": hello\n\n" + delta_event(R"("role":"assistant","content":"")");
  if (inline_think) {
    for (const char* piece : {"<th", "ink>\\n2", " + 2\\n</", "think>\\n\\n", "4", "!"})
      s += delta_event(fmt::format(R"("content":"{}")", piece));
  } else {
    s += delta_event(R"("reasoning_content":"2 ")") + delta_event(R"("reasoning_content":"+ 2")");
    s += delta_event(R"("content":"4")") + delta_event(R"("content":"!")");
  }
  s += delta_event("", "\"stop\"");
  s += net::sse_event(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}})");
  return s + net::sse_event("[DONE]");
}

TEST(ApiGenerator, StreamsAtEverySplit) {
  for (const bool inline_think : {false, true}) {
    const std::string body = stream_body(inline_think);
    for (size_t i = 0; i <= body.size(); i += 3) {
      FakeExchange x;
      x.chunks = {body.substr(0, i), body.substr(i)};
      const Outcome o = ask(x, true);
      ASSERT_TRUE(o.reply.ok()) << o.reply.error().message;
      ASSERT_EQ(o.reply->choices[0].reasoning, "2 + 2");
      ASSERT_EQ(o.reply->choices[0].content, "4!");
      ASSERT_EQ(o.reply->choices[0].finish_reason, "stop");
      ASSERT_EQ(o.reply->usage.completion_tokens, 9);
      ASSERT_EQ(o.reply->raw, body);
      ASSERT_EQ(o.reasoning, "2 + 2");  // what was shown adds up to the reply
      ASSERT_EQ(o.content, "4!");
      ASSERT_EQ(o.text, o.reply->choices[0].text);
    }
  }
}

TEST(ApiGenerator, StreamsThatEndEarlyAreCut) {
  const std::string body = stream_body(false);
  const size_t finish = body.find("\"stop\"");
  for (size_t i = 1; i < finish; i += 7) {
    for (const bool clean_end : {true, false}) {
      FakeExchange x;
      x.chunks = {body.substr(0, i)};
      if (!clean_end) x.fail = net::fake_cut(i);
      const Outcome o = ask(x, true);
      ASSERT_FALSE(o.reply.ok()) << i;
      ASSERT_EQ(o.reply.error().code, Code::Unavailable);
      ASSERT_TRUE(o.reply.error().maybe_charged);
      if (i > 10) ASSERT_THAT(o.reply.error().message, HasSubstr(fmt::format("cut after {} bytes", i)));
    }
  }
  // Complete but for [DONE], and [DONE] followed by a reset: both are whole.
  FakeExchange no_mark;
  no_mark.chunks = {body.substr(0, body.find("data: [DONE]"))};
  EXPECT_TRUE(ask(no_mark, true).reply.ok());
  FakeExchange reset;
  reset.chunks = {body};
  reset.fail = net::fake_cut(body.size());
  EXPECT_TRUE(ask(reset, true).reply.ok());
  // Of two choices only one came to its end.
  EXPECT_FALSE(ask(no_mark, true, 2).reply.ok());
}

TEST(ApiGenerator, ErrorsSayWhatToDo) {
  struct Case {
    FakeExchange exchange;
    Code code;
    const char* words;
    int64_t wait_ms = -1;
  };
  const std::string error = R"({"error":{"message":"the words","type":"t","param":"n","code":null}})";
  const std::string quota = R"({"error":{"message":"pay","code":"insufficient_quota"}})";
  const Case cases[] = {
      {whole(429, error, {{"retry-after", "3"}}), Code::Unavailable, "the words", 3000},
      {whole(429, error, {{"retry-after", "1000000000"}}), Code::Unavailable, "the words", net::kMaxRetryAfterMs},
      {whole(429, error, {{"retry-after-ms", "99999999"}}), Code::Unavailable, "429", net::kMaxRetryAfterMs},
      {whole(429, error, {{"retry-after-ms", "250"}, {"retry-after", "3"}}), Code::Unavailable, "429", 250},
      {whole(429, quota), Code::Limit, "pay"},
      {whole(500, "oops"), Code::Unavailable, "oops"},
      {whole(503, "<html>busy</html>", {{"retry-after", "9"}}), Code::Unavailable, "busy", 9000},
      {whole(401, error), Code::Invalid, "API key"},
      {whole(403, error), Code::Invalid, "API key"},
      {whole(404, "{\"detail\":\"Not Found\"}"), Code::Invalid, "base_url"},
      {whole(400, error), Code::Invalid, "the words (`n`)"},
      {whole(302, "", {{"location", "https://elsewhere/"}}), Code::Invalid, "https://elsewhere/"},
      {whole(200, "<!DOCTYPE html><title>Login</title>"), Code::Unavailable, "<!DOCTYPE html>"},
      {whole(200, "\x01\x02garbage"), Code::Unavailable, "garbage"},
      {whole(200, ""), Code::Unavailable, "empty body"},
      {whole(200, R"({"choices":[]})"), Code::Unavailable, "no completion"},
      {whole(200, R"({"choices":[{"message":{"content":5}}]})"), Code::Unavailable, "no completion"},
  };
  for (const Case& c : cases) {
    for (const bool stream : {false, true}) {
      const Outcome o = ask(c.exchange, stream);
      ASSERT_FALSE(o.reply.ok());
      EXPECT_EQ(o.reply.error().code, c.code) << o.reply.error().message;
      EXPECT_THAT(o.reply.error().message, HasSubstr(c.words));
      EXPECT_EQ(o.reply.error().retry_after_ms, c.wait_ms);
      EXPECT_EQ(o.reply.error().message.find("sk-1"), std::string::npos);
    }
  }
  // A long text ends at a word.
  std::string words = "the";
  while (words.size() < 2000) words += " quick brown fox";
  const std::string shown = ask(whole(404, R"({"error":{"message":")" + words + R"("}})"), false).reply.error().message;
  const size_t cut = shown.find(" ...; check");
  ASSERT_NE(cut, std::string::npos) << shown;
  const std::string last = shown.substr(shown.rfind(' ', cut - 1) + 1, cut - shown.rfind(' ', cut - 1) - 1);
  EXPECT_TRUE(last == "quick" || last == "brown" || last == "fox") << shown;
  FakeExchange inside;
  inside.chunks = {delta_event(R"("content":"4")") + net::sse_event(error)};
  EXPECT_THAT(ask(inside, true).reply.error().message, HasSubstr("the words"));
  FakeExchange garbage;
  garbage.chunks = {delta_event(R"("content":"4")") + net::sse_event("{half")};
  EXPECT_THAT(ask(garbage, true).reply.error().message, HasSubstr("{half"));
  EXPECT_TRUE(ask(whole(200, kAnswer), true).reply.ok());  // a server that does not stream
}

// --- what a hostile or odd server sends ---

// A key that comes back in a header's place, in an answer, or cut over the events of one.
TEST(ApiGenerator, KeysDoNotComeBack) {
  const std::string key = "sekret/KEY-123";
  const auto shows = [&](const std::string& text) { return text.find("KEY-123") != std::string::npos; };
  FakeExchange exchange;
  std::string shown;
  const auto run = [&](bool stream) {
    FakeTransport transport([&](const net::HttpRequest&, int64_t) { return exchange; });
    ApiOptions options;
    options.base_url = "http://teacher.example/v1";
    options.stream = stream;
    ApiGenerator generator(transport, options, Secret(key), nullptr,
                           {{{"X-Title", "t"}}, {{"api-key", Secret("other-key-9")}}});
    model::Request request;
    request.messages = {{"user", "2+2?", "", nullptr}};
    Result<model::Reply> result = fail(Code::Internal, "unset");
    std::promise<void> done;
    shown.clear();
    generator.submit(std::move(request),
                     {[&](const model::Delta& d) { shown += d.content; },
                      [&](Result<model::Reply> r) {
                        result = std::move(r);
                        done.set_value();
                      }},
                     {});
    done.get_future().get();
    const auto sent = transport.requests().front();
    EXPECT_EQ(sent.headers.back().first, "X-Title");
    EXPECT_EQ(sent.secret_headers.front().second.reveal(), "other-key-9");
    return result;
  };
  for (const int status : {400, 401, 429, 500, 302}) {
    for (const std::string& said : {key, std::string("other-key-9"), std::string(R"(\u0073ekret\/KEY-123)")}) {
      exchange = whole(
          status, R"({"error":{"message":"bad ')" + std::string(290, 'x') + said + R"(","param":")" + said + "\"}}",
          {{"location", "http://x/?k=" + said}});
      const std::string message = run(false).error().message;
      EXPECT_FALSE(shows(message) || message.find("ekret") != std::string::npos ||
                   message.find("r-key") != std::string::npos)
          << message;
    }
  }
  exchange = whole(
      200,
      R"({"model":"sekret/KEY-123","choices":[{"message":{"content":"it is sekret\/KEY-123!"},"finish_reason":"stop"}]})");
  auto reply = run(false);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->choices[0].content, "it is [key]!");
  EXPECT_FALSE(shows(reply->raw) || shows(reply->model) || shows(shown)) << reply->raw;
  exchange = {};
  exchange.chunks = {delta_event(R"("content":"it is sek")"), delta_event(R"("content":"ret/KEY")"),
                     delta_event(R"("content":"-123!")") + delta_event("", "\"stop\"") + net::sse_event("[DONE]")};
  reply = run(true);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->choices[0].content, "it is [key]!");
  EXPECT_EQ(shown, "it is [key]!");
  EXPECT_EQ(reply->raw, "");  // its pieces lie there
  // In one event, cut by the network at any place.
  const std::string body =
      delta_event(R"("content":"it is sekret/KEY-123!")") + delta_event("", "\"stop\"") + net::sse_event("[DONE]");
  for (size_t i = 0; i < body.size(); ++i) {
    exchange.chunks = {body.substr(0, i), body.substr(i)};
    reply = run(true);
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    ASSERT_EQ(reply->choices[0].content, "it is [key]!") << i;
    ASSERT_EQ(shown, "it is [key]!");
    ASSERT_FALSE(shows(reply->raw));
    ASSERT_FALSE(reply->raw.empty());
  }
}

Usage usage_of(const std::string& text) {
  const std::string body = R"({"choices":[{"message":{"content":"4"}}],"usage":)" + text + "}";
  return decode_response(parse_json(body).value())->usage;
}

TEST(ApiGenerator, CountsThatCannotBeAreNone) {
  for (const char* bad :
       {"-1", "-9223372036854775808", "1099511627777", "9007199254740992", "9223372036854775807",
        "18446744073709551615", "18446744073709551616", "1e18", "20.5", "\"20\"", "[20]", "{}", "true"}) {
    for (const char* form :
         {R"({{"prompt_tokens":10,"completion_tokens":{}}})", R"({{"prompt_tokens":{},"completion_tokens":20}})",
          R"({{"prompt_tokens":10,"completion_tokens":20,"total_tokens":{}}})",
          R"({{"prompt_tokens":10,"completion_tokens":20,"completion_tokens_details":{{"reasoning_tokens":{}}}}})",
          R"({{"prompt_tokens":10,"completion_tokens":20,"prompt_tokens_details":{{"cached_tokens":{}}}}})"}) {
      const Usage usage = usage_of(fmt::format(fmt::runtime(form), bad));
      EXPECT_EQ(usage.prompt_tokens, 0) << bad << form;
      EXPECT_EQ(usage.completion_tokens, 0) << bad << form;
    }
  }
  const Usage most = usage_of(R"({"prompt_tokens":null,"completion_tokens":1099511627776})");
  EXPECT_EQ(most.completion_tokens, kMaxCount);
  // What only the total shows is billed, too; the cache by either name.
  EXPECT_EQ(usage_of(R"({"prompt_tokens":10,"completion_tokens":20,"total_tokens":100})").completion_tokens, 90);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":7}})").cached_tokens, 7);
  EXPECT_EQ(usage_of(R"({"prompt_tokens":10,"prompt_cache_hit_tokens":7})").cached_tokens, 7);
  // Of a stream that says it again and again the most counts; one absurd word spoils them all.
  const auto streamed = [](const std::vector<std::string>& usages) {
    FakeExchange x;
    x.chunks = {delta_event(R"("content":"4")", "\"stop\"")};
    for (const std::string& usage : usages)
      x.chunks.push_back(net::sse_event(R"({"choices":[],"usage":)" + usage + "}"));
    x.chunks.push_back(net::sse_event("[DONE]"));
    return ask(x, true).reply->usage;
  };
  EXPECT_EQ(streamed({R"({"prompt_tokens":3,"completion_tokens":900})", R"({"prompt_tokens":3,"completion_tokens":1})",
                      "null"})
                .completion_tokens,
            900);
  EXPECT_EQ(streamed({R"({"prompt_tokens":3,"completion_tokens":-4})", R"({"prompt_tokens":3,"completion_tokens":9})"})
                .completion_tokens,
            0);
}

TEST(ApiGenerator, AnswersOverTheLimitAreRefusedAndMayBeBilled) {
  FakeExchange huge;
  const std::string text(100'000, 'x');
  for (int i = 0; i < 20; ++i) huge.chunks.push_back(delta_event("\"content\":\"" + text + "\""));
  FakeExchange one_event = whole(200, delta_event("\"content\":\"" + std::string(2 << 20, 'x') + "\""));
  FakeExchange no_stream = whole(200, R"({"choices":[{"message":{"content":")" + std::string(2 << 20, 'x') + "\"}}]}");
  for (const FakeExchange& x : {huge, one_event, no_stream}) {
    FakeTransport transport([&](const net::HttpRequest&, int64_t) { return x; });
    ApiGenerator generator(transport, {}, Secret());
    model::Request request;
    request.messages = {{"user", "x", "", nullptr}};
    request.sampling.max_tokens = 100;  // 1 MiB and 100 KiB
    const auto reply = generate(generator, request);
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(reply.error().code, Code::Invalid);  // no use to ask again
    EXPECT_TRUE(reply.error().maybe_charged);
    EXPECT_THAT(reply.error().message, HasSubstr("larger than the 1150976 bytes"));
  }
  // Few bytes, many values.
  std::string values = R"({"choices":[)";
  for (size_t i = 0; i <= kMaxAnswerValues; ++i) values += i == 0 ? "0" : ",0";
  const Outcome o = ask(whole(200, values + "]}"), false);
  ASSERT_FALSE(o.reply.ok());
  EXPECT_TRUE(o.reply.error().maybe_charged);
}

// The server leaves its connection open after [DONE], for ever: the answer is there at once.
TEST(ApiGenerator, TheEndMarkEndsTheExchange) {
  FakeExchange x;
  x.chunks = {stream_body(false)};
  for (int i = 0; i < 1'000'000; ++i) x.chunks.emplace_back(": alive\n\n");
  FakeTransport transport([&](const net::HttpRequest&, int64_t) { return x; }, FakeTransport::Clock::Manual);
  ApiGenerator generator(transport, {}, Secret());
  model::Request request;
  request.messages = {{"user", "x", "", nullptr}};
  bool ended = false;
  generator.submit(std::move(request),
                   {{}, [&](Result<model::Reply> r) { ended = r.ok() && r->choices[0].content == "4!"; }}, {});
  for (int i = 0; i < 3; ++i) transport.step();
  EXPECT_TRUE(ended);
  EXPECT_EQ(transport.in_flight(), 0);
}

TEST(ApiGenerator, NothingComesBackFromInsideSubmit) {
  FakeTransport transport([](const net::HttpRequest&, int64_t) { return FakeExchange(); });
  ApiOptions nowhere;
  nowhere.base_url = "http://h/v1/../evil";
  ApiGenerator generator(transport, nowhere, Secret());
  for (const bool logprobs : {true, false}) {
    model::Request request;
    request.messages = {{"user", "x", "", nullptr}};
    request.prompt_logprobs = logprobs;
    const auto caller = std::this_thread::get_id();
    std::promise<std::thread::id> from;
    generator.submit(std::move(request),
                     {{},
                      [&](Result<model::Reply> r) {
                        EXPECT_EQ(r.error().code, Code::Invalid);
                        from.set_value(std::this_thread::get_id());
                      }},
                     {});
    EXPECT_NE(from.get_future().get(), caller);
  }
  EXPECT_TRUE(transport.requests().empty());
}

TEST(ApiGenerator, AModelThatTakesNoTemperatureNamesTheOption) {
  const auto words = [](const std::string& body) { return ask(whole(400, body), false).reply.error().message; };
  EXPECT_THAT(
      words(
          R"({"error":{"message":"Unsupported value: 'temperature' does not support 0.7 with this model.","param":"temperature"}})"),
      HasSubstr("set `temperature` to"));
  EXPECT_THAT(words(R"({"error":{"message":"top_p is not supported"}})"), HasSubstr("set `top_p` to"));
  EXPECT_THAT(words(R"({"error":{"message":"'max_tokens' is not supported. Use 'max_completion_tokens' instead."}})"),
              HasSubstr("set `max_completion_tokens`"));
}

TEST(ApiGenerator, DestructionEndsWhatIsUnderWay) {
  FakeTransport transport([](const net::HttpRequest&, int64_t) { return FakeExchange{200, {}, {"x"}, 5}; },
                          FakeTransport::Clock::Manual);
  int cancelled = 0;
  {
    ApiGenerator generator(transport, {}, Secret());
    model::Request request;
    request.messages = {{"user", "x", "", nullptr}};
    for (int i = 0; i < 3; ++i)
      generator.submit(request, {{}, [&](Result<model::Reply> r) { cancelled += r.error().code == Code::Cancelled; }},
                       {});
    transport.step();
  }
  EXPECT_EQ(cancelled, 3);
  transport.run();
  EXPECT_EQ(cancelled, 3);
  EXPECT_EQ(transport.in_flight(), 0);
}

}  // namespace
}  // namespace retort::wire
