// The API server over the scripted generator, asked by the curl transport and by retort's own API client.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/fake_generator.h"
#include "net/curl_transport.h"
#include "net/sse.h"
#include "serve/access.h"
#include "serve/api_server.h"
#include "serve/readers.h"
#include "wire/api_generator.h"

namespace retort::serve {
namespace {

using model::FakeAnswer;
using model::FakeGenerator;
using model::Request;
using testing::HasSubstr;

template <class F>
bool eventually(F condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class Serve : public testing::Test {
 protected:
  explicit Serve(FakeGenerator::Script script = nullptr)
      : generator_(script ? std::move(script) : [](const Request&, int64_t) -> Result<FakeAnswer> {
          return FakeAnswer{{"<think>\nwhy \xC3\xA9\n</think>\n\nso be it", "second"}, "stop", 5};
        }) {}

  void start(Options options = {}) {
    options.http.port = 0;
    auto server = ApiServer::start(options, generator_, {}, system_env());
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(server).value();
  }
  net::HttpResponse call(const std::string& method, const std::string& path, const std::string& body = "",
                         const std::string& key = "", const net::Headers& extra = {}) {
    net::HttpRequest request;
    request.method = method;
    request.url = server_->url() + path;
    request.body = body;
    if (method == "POST") request.headers = {{"Content-Type", "application/json"}};
    for (const auto& header : extra) request.headers.push_back(header);
    request.bearer = Secret(key);
    auto response = fetch(curl_, request);
    EXPECT_TRUE(response.ok()) << response.error().message;
    return response.ok() ? *response : net::HttpResponse{};
  }
  Json post(const std::string& path, const std::string& body, int status = 200) {
    const auto response = call("POST", path, body);
    EXPECT_EQ(response.status, status) << response.body;
    auto json = parse_json(response.body);
    EXPECT_TRUE(json.ok()) << response.body;
    return json.ok() ? *json : Json();
  }
  std::vector<std::string> events(const std::string& path, const std::string& body) {
    std::vector<std::string> out;
    net::SseParser parser;
    (void)parser.feed(call("POST", path, body).body, [&](const net::SseEvent& e) { out.push_back(e.data); });
    EXPECT_FALSE(parser.holds_partial());
    return out;
  }

  FakeGenerator generator_;
  net::CurlTransport curl_;
  std::unique_ptr<ApiServer> server_;
};

const char* kHi = R"("messages":[{"role":"user","content":"hi"}])";
std::string chat(const std::string& members) { return "{" + std::string(kHi) + members + "}"; }

TEST_F(Serve, Routes) {
  start();
  EXPECT_EQ(call("GET", "/health").body, R"({"status":"ok"})");
  EXPECT_THAT(call("GET", "/v1/models").body, HasSubstr(R"("id":"fake")"));
  EXPECT_THAT(call("GET", "/v1/models/fake").body, HasSubstr(R"("object":"model")"));
  EXPECT_EQ(call("GET", "/v1/models/other").status, 404);
  EXPECT_EQ(call("GET", "/").status, 404);
  const auto wrong = call("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(header(wrong, "allow"), "POST");
  EXPECT_EQ(post("/v1/chat/completions", "{nonsense", 400)["error"]["code"], "invalid_json");
  EXPECT_EQ(post("/v1/chat/completions", chat(R"(,"model":"gpt-4")"), 404)["error"]["code"], "model_not_found");
  EXPECT_EQ(post("/v1/chat/completions", chat(R"(,"n":129)"), 400)["error"]["param"], "n");
  EXPECT_EQ(post("/v1/chat/completions", chat(R"(,"tools":[{}])"), 400)["error"]["param"], "tools");
}

TEST_F(Serve, ChatWhole) {
  start();
  const Json r = post("/v1/chat/completions", chat(R"(,"n":2,"model":"fake","logprobs":true,"top_logprobs":2)"));
  EXPECT_EQ(r["choices"][0]["message"]["content"], "so be it");
  EXPECT_EQ(r["choices"][0]["message"]["reasoning_content"], "why \xC3\xA9");
  EXPECT_EQ(r["choices"][1]["message"]["content"], "second");
  EXPECT_EQ(r["choices"][1]["finish_reason"], "stop");
  EXPECT_EQ(r["choices"][1]["logprobs"]["content"].size(), 6u);
  EXPECT_EQ(r["choices"][1]["logprobs"]["content"][0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(r["usage"]["prompt_tokens"], 5);
  const Json cut = post("/v1/chat/completions", chat(R"(,"max_tokens":3,"stop":"b")"));
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  const Json other = post("/v1/chat/completions", chat(""));
  EXPECT_NE(r["id"], other["id"]);
}

TEST_F(Serve, StreamAddsUpToTheWhole) {
  start();
  const Json whole = post("/v1/chat/completions", chat(R"(,"n":2,"logprobs":true)"));
  const auto parts = events("/v1/chat/completions",
                            chat(R"(,"n":2,"logprobs":true,"stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_GT(parts.size(), 10u);
  EXPECT_EQ(parts.back(), "[DONE]");
  std::string content[2], reasoning[2];
  size_t tokens[2] = {0, 0};
  int finished = 0;
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    const Json chunk = *parse_json(parts[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    if (i + 2 == parts.size()) {
      EXPECT_EQ(chunk["usage"], whole["usage"]);
      EXPECT_TRUE(chunk["choices"].empty());
      break;
    }
    const Json& choice = chunk["choices"][0];
    const size_t index = choice["index"].get<size_t>();
    if (const Json* text = find(choice["delta"], "content")) content[index] += text->get<std::string>();
    if (const Json* text = find(choice["delta"], "reasoning_content")) reasoning[index] += text->get<std::string>();
    if (!choice["logprobs"].is_null()) tokens[index] += choice["logprobs"]["content"].size();
    if (!choice["finish_reason"].is_null()) ++finished;
  }
  EXPECT_EQ(finished, 2);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(content[i], whole["choices"][i]["message"]["content"]);
    EXPECT_EQ(tokens[i], whole["choices"][i]["logprobs"]["content"].size());
  }
  EXPECT_EQ(reasoning[0], "why \xC3\xA9");
}

TEST_F(Serve, Completions) {
  start();
  const Json r = post("/v1/completions", R"({"prompt":["a","b"],"n":2,"echo":true,"max_tokens":100,"logprobs":1})");
  ASSERT_EQ(r["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(r["choices"][static_cast<size_t>(i)]["index"], i);
  EXPECT_EQ(r["choices"][3]["text"], "bsecond");
  EXPECT_EQ(r["choices"][3]["logprobs"]["tokens"].size(), 7u);
  EXPECT_TRUE(r["choices"][3]["logprobs"]["token_logprobs"][0].is_null());
  EXPECT_EQ(r["usage"]["prompt_tokens"], 10);
  const Json scored = post("/v1/completions", R"({"prompt":"abc","echo":true,"max_tokens":0,"logprobs":0})");
  EXPECT_EQ(scored["choices"][0]["text"], "abc");
  EXPECT_EQ(scored["choices"][0]["logprobs"]["tokens"].size(), 3u);
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
  std::string text;
  for (const std::string& data :
       events("/v1/completions", R"({"prompt":"é","echo":true,"max_tokens":100,"stream":true})")) {
    if (data != "[DONE]") text += (*parse_json(data))["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, "é<think>\nwhy \xC3\xA9\n</think>\n\nso be it");
}

class EndingServe : public Serve {
 protected:
  EndingServe()
      : Serve([](const Request&, int64_t) -> Result<FakeAnswer> {
          return FakeAnswer{{"\xC3\xA9z"}, "stop", 5, 0, "<end>"};
        }) {}
};

// An end token comes with its log-probability, is counted, and is not text, whole and streamed, on both ways.
TEST_F(EndingServe, EndTokensAreInTheLogprobsAndNotInTheText) {
  start();
  const Json c = post("/v1/completions", R"({"prompt":"ab","echo":true,"max_tokens":9,"logprobs":1})")["choices"][0];
  EXPECT_EQ(c["text"], "ab\xC3\xA9z");
  EXPECT_EQ(to_text(c["logprobs"]["tokens"]), R"(["a","b","é","z","<end>"])");
  EXPECT_EQ(to_text(c["logprobs"]["text_offset"]), "[0,1,2,3,4]");
  EXPECT_TRUE(c["logprobs"]["token_logprobs"][4].is_number());
  EXPECT_TRUE(c["logprobs"]["top_logprobs"][4].contains("<end>"));
  const Json whole = post("/v1/chat/completions", chat(R"(,"logprobs":true)"));
  const Json& said = whole["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(said.size(), 3u);
  EXPECT_EQ(said[2]["token"], "<end>");
  EXPECT_EQ(said[2]["bytes"], Json::array());  // so that the bytes add up to the text
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "\xC3\xA9z");
  EXPECT_EQ(whole["usage"]["completion_tokens"], 3);
  for (const bool stream : {false, true}) {
    wire::ApiOptions options;
    options.base_url = server_->url() + "/v1";
    options.model = "fake";
    options.stream = stream;
    wire::ApiGenerator client(curl_, options, Secret());
    Request request;
    request.messages = {{"user", "hi", "", nullptr}};
    request.top_logprobs = 1;
    const auto reply = generate(client, request);
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->choices[0].text, "\xC3\xA9z");
    ASSERT_EQ(reply->choices[0].tokens.size(), 3u) << stream;
    EXPECT_EQ(reply->choices[0].tokens[2].bytes, "<end>");
    EXPECT_FALSE(reply->choices[0].tokens[2].is_text);
    EXPECT_TRUE(reply->choices[0].tokens[1].is_text);
    EXPECT_FALSE(std::isnan(reply->choices[0].tokens[2].logprob));
    EXPECT_EQ(reply->usage.completion_tokens, 3);
  }
}

TEST_F(Serve, KeysAndHosts) {
  Options open;
  open.http.host = "0.0.0.0";
  open.http.port = 0;
  const auto refused = ApiServer::start(open, generator_, {}, system_env());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::Invalid);
  EXPECT_THAT(refused.error().message, HasSubstr("--key-file"));
  const std::string file = testing::TempDir() + "retort_keys_" + std::to_string(::getpid());
  ASSERT_TRUE(system_env().write_file(file, "# none\n\n").ok());
  Options options;
  options.key_file = file;
  EXPECT_THAT(ApiServer::start(options, generator_, {}, system_env()).error().message, HasSubstr("holds no key"));
  ASSERT_TRUE(system_env().write_file(file, "# two\nalpha\n  beta  \r\n").ok());
  start(options);
  for (const char* bad : {"", "gamma", "alph", "alphaa", "# two"}) {
    const auto response = call("GET", "/v1/models", "", bad);
    EXPECT_EQ(response.status, 401) << bad;
    EXPECT_THAT(response.body, HasSubstr("invalid_api_key"));
  }
  EXPECT_EQ(call("GET", "/v1/models", "", "alpha").status, 200);
  EXPECT_EQ(call("GET", "/v1/models", "", "beta").status, 200);
  EXPECT_EQ(call("GET", "/health").status, 200);
  ASSERT_TRUE(system_env().remove_all(file).ok());
}

// A page in the user's browser is a stranger: by its name for this machine, by its origin, by what forms can send.
TEST_F(Serve, ForeignHostsOriginsAndFormsAreRefused) {
  Options options;
  options.allow_host = {"Box.local"};
  options.allow_origin = {"https://Chat.example"};
  start(options);
  const std::string own = fmt::format("127.0.0.1:{}", server_->port());
  const auto get = [&](const net::Headers& headers) { return call("GET", "/v1/models", "", "", headers).status; };
  EXPECT_EQ(get({}), 200);
  for (const char* host :
       {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.1.5", "[::2]", "localhost.evil"})
    EXPECT_EQ(get({{"Host", host}}), 421) << host;
  for (const char* host :
       {"localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "[::1]:9", "box.local", "BOX.local:80"})
    EXPECT_EQ(get({{"Host", host}}), 200) << host;
  for (const char* origin : {"http://evil.example", "null", "http://127.0.0.1:1", "http://chat.example"})
    EXPECT_EQ(get({{"Origin", origin}}), 403) << origin;
  EXPECT_EQ(get({{"Origin", "http://" + own}}), 200);
  const auto allowed = call("GET", "/v1/models", "", "", {{"Origin", "https://chat.example"}});
  EXPECT_EQ(allowed.status, 200);
  EXPECT_EQ(header(allowed, "access-control-allow-origin"), "https://chat.example");
  const auto preflight = call("OPTIONS", "/v1/completions", "", "", {{"Origin", "https://chat.example"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(header(preflight, "access-control-allow-headers"), "Authorization, Content-Type");
  EXPECT_NE(call("OPTIONS", "/v1/completions", "", "", {{"Origin", "http://" + own}}).status, 204);
  net::HttpRequest form;
  form.method = "POST";
  form.url = server_->url() + "/v1/chat/completions";
  form.body = chat("");
  form.headers = {{"Content-Type", "text/plain"}};
  EXPECT_EQ(fetch(curl_, form)->status, 415);
  form.headers = {{"Content-Type", "application/json; charset=utf-8"}};
  EXPECT_EQ(fetch(curl_, form)->status, 200);
  const std::pair<std::string, const char*> wrong[] = {
      {"host", "http://box"}, {"host", "box:80"}, {"origin", "box"}, {"origin", "null"}};
  for (const auto& [name, value] : wrong) {
    Options bad;
    (name == "host" ? bad.allow_host : bad.allow_origin) = {value};
    const auto refused = ApiServer::start(bad, generator_, {}, system_env());
    ASSERT_FALSE(refused.ok()) << value;
    EXPECT_THAT(refused.error().message, HasSubstr(value));
  }
}

// Listening everywhere needs keys; then any address of this machine is its own name, a domain's name is not.
TEST_F(Serve, AllAddressesAreItsOwnWhereItListensOnAll) {
  const std::string file = testing::TempDir() + "retort_keys_all_" + std::to_string(::getpid());
  ASSERT_TRUE(system_env().write_file(file, "k\n").ok());
  const auto access = Access::make("0.0.0.0", {}, {}, file, system_env());
  ASSERT_TRUE(access.ok());
  const auto foreign = [&](const char* host) {
    net::ServerRequest head;
    head.headers = {{"host", host}};
    return access->foreign(head).has_value();
  };
  EXPECT_FALSE(foreign("192.168.1.5:8080"));
  EXPECT_FALSE(foreign("[fe80::1]:8080"));
  EXPECT_TRUE(foreign("box.local"));
  EXPECT_TRUE(foreign("1.2.3.4.evil.example"));
  ASSERT_TRUE(system_env().remove_all(file).ok());
}

TEST_F(Serve, OurOwnClientUnderstandsIt) {
  start();
  for (const bool stream : {false, true}) {
    wire::ApiOptions options;
    options.base_url = server_->url() + "/v1";
    options.model = "fake";
    options.stream = stream;
    wire::ApiGenerator client(curl_, options, Secret());
    Request request;
    request.messages = {{"user", "hi", "", nullptr}};
    request.n = 2;
    request.top_logprobs = 1;
    const auto reply = generate(client, request);
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->choices[0].reasoning, "why \xC3\xA9");
    EXPECT_EQ(reply->choices[0].content, "so be it");
    EXPECT_EQ(reply->choices[1].tokens.size(), 6u);
    EXPECT_EQ(reply->usage.prompt_tokens, 5);
  }
}

TEST(Readers, SmallWorkPassesLargeAndWhatNobodyWaitsForIsDropped) {
  Readers readers;
  std::promise<void> release, small_done, last_done;
  auto released = release.get_future().share();
  std::atomic<int> ran{0};
  readers.add(1 << 20, {}, [&] { released.wait(); });
  Cancel gone;
  readers.add(1 << 20, gone, [&] { ++ran; });
  readers.add(1 << 20, {}, [&] { last_done.set_value(); });
  gone.request();
  readers.add(10, {}, [&] { small_done.set_value(); });
  small_done.get_future().get();  // while a large one runs
  release.set_value();
  last_done.get_future().get();
  EXPECT_EQ(ran, 0);
  readers.stop();
  readers.add(10, {}, [&] { ++ran; });
  EXPECT_EQ(ran, 0);
}

class SlowServe : public Serve {
 protected:
  SlowServe()
      : Serve([](const Request&, int64_t) -> Result<FakeAnswer> {
          return FakeAnswer{{std::string(100'000, 'x')}, "stop", 1, 1000};
        }) {}
};

TEST_F(SlowServe, ClientsThatLeaveCancelTheirGeneration) {
  start();
  for (const char* body : {R"(,"stream":true)", ""}) {
    const int64_t before = generator_.cancelled();
    const size_t asked = generator_.requests().size();
    Cancel cancel;
    std::promise<void> done;
    net::HttpRequest request;
    request.method = "POST";
    request.url = server_->url() + "/v1/chat/completions";
    request.headers = {{"Content-Type", "application/json"}};
    request.body = chat(body);
    curl_.send(request, {}, [&](Result<net::HttpResponse>) { done.set_value(); }, cancel);
    ASSERT_TRUE(eventually([&] { return generator_.requests().size() > asked; }));
    cancel.request();
    done.get_future().get();
    EXPECT_TRUE(eventually([&] { return generator_.cancelled() > before; })) << body;
  }
}

TEST_F(SlowServe, AFullQueueSaysSo) {
  Options options;
  options.max_requests = 2;
  start(options);
  Cancel cancel;
  std::atomic<int> ended{0};
  net::HttpRequest request;
  request.method = "POST";
  request.url = server_->url() + "/v1/chat/completions";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = chat("");
  for (int i = 0; i < 2; ++i) curl_.send(request, {}, [&](Result<net::HttpResponse>) { ++ended; }, cancel);
  ASSERT_TRUE(eventually([&] { return generator_.requests().size() == 2; }));
  const auto full = call("POST", "/v1/chat/completions", chat(""));
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(header(full, "retry-after"), "1");
  EXPECT_THAT(full.body, HasSubstr("2 requests are in work"));
  cancel.request();
  ASSERT_TRUE(eventually([&] { return generator_.cancelled() == 2; }));
  // There is room again.
  Cancel again;
  std::promise<void> done;
  curl_.send(request, {}, [&](Result<net::HttpResponse>) { done.set_value(); }, again);
  EXPECT_TRUE(eventually([&] { return generator_.requests().size() == 3; }));
  server_->stop(1);  // cuts what runs
  done.get_future().get();
  EXPECT_TRUE(eventually([&] { return generator_.cancelled() == 3; }));
}

class FailingServe : public Serve {
 protected:
  FailingServe()
      : Serve([](const Request&, int64_t number) -> Result<FakeAnswer> {
          if (number % 2 == 0) return fail(Code::Limit, "the prompt has 3000 tokens; the context holds 2048");
          Error error = fail(Code::Unavailable, "no memory just now");
          error.retry_after_ms = 2500;
          return error;
        }) {}
};

TEST_F(FailingServe, ErrorsOfTheGeneratorAreTranslated) {
  start();
  for (const char* stream : {"", R"(,"stream":true)"}) {
    const Json context = post("/v1/chat/completions", chat(stream), 400);
    EXPECT_EQ(context["error"]["code"], "context_length_exceeded");
    EXPECT_EQ(context["error"]["param"], "messages");
    EXPECT_THAT(context["error"]["message"].get<std::string>(), testing::AllOf(HasSubstr("3000"), HasSubstr("2048")));
    const auto busy = call("POST", "/v1/chat/completions", chat(stream));
    EXPECT_EQ(busy.status, 503);
    EXPECT_EQ(header(busy, "retry-after"), "3");
  }
}

}  // namespace
}  // namespace retort::serve
