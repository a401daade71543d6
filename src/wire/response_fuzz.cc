// A teacher's answer as an API client gets it: the first byte says which status it comes with and whether a stream was
// asked for, the rest is the body. The result does not depend on how the body was cut, the pieces that were shown add
// up to the reply, and a refusal is never retort's own defect.
#include "base/fuzz/target.h"
#include "net/fake_transport.h"
#include "wire/api_generator.h"
#include "wire/openai.h"

namespace {

using namespace retort;

struct Got {
  bool ok = false;
  Code code = Code::Internal;
  std::string text;  // the reply's choices, or the error
  bool operator==(const Got&) const = default;
};

std::string text_of_choices(const std::vector<model::Choice>& choices) {
  std::string out;
  for (const model::Choice& c : choices) {
    out += fmt::format("{}|{}|{}|{}|{}", c.index, c.text, c.reasoning, c.content, c.finish_reason);
    for (const model::Token& token : c.tokens)
      out += fmt::format("|{} {} {}", token.bytes, token.logprob, token.top.size());
    out += '\n';
  }
  return out;
}

Got ask(int status, bool stream, const std::vector<std::string_view>& pieces) {
  net::FakeTransport transport(
      [&](const net::HttpRequest&, int64_t) {
        net::FakeExchange exchange;
        exchange.status = status;
        exchange.headers = {{"retry-after", "1"}};
        for (const std::string_view piece : pieces) exchange.chunks.emplace_back(piece);
        return exchange;
      },
      net::FakeTransport::Clock::Manual);
  wire::ApiOptions options;
  options.model = "m";
  options.stream = stream;
  wire::ApiGenerator generator(transport, options, Secret());
  model::Request request;
  request.messages = {{"user", "q", "", nullptr}};
  Got got;
  int ends = 0;
  std::map<int, std::string> shown;
  generator.submit(std::move(request),
                   {[&](const model::Delta& delta) { shown[delta.index] += delta.content; },
                    [&](Result<model::Reply> reply) {
                      ++ends;
                      got.ok = reply.ok();
                      if (reply.ok()) {
                        got.text = text_of_choices(reply->choices);
                        for (const model::Choice& c : reply->choices) {
                          // A thought that only its end gives away was shown as content by then.
                          const bool late = shown[c.index].find("</think>") != std::string::npos;
                          RETORT_CHECK(late || shown[c.index] == c.content);
                        }
                      } else {
                        fuzz::check_refusal(reply.error());
                        got.code = reply.error().code;
                        got.text = reply.error().message;
                      }
                    }},
                   {});
  transport.run();
  RETORT_CHECK(ends == 1);
  return got;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  const std::string chat =
      R"({"id":"x","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":"<think>2</think>4","reasoning_content":null},"finish_reason":"stop","logprobs":{"content":[{"token":"4","logprob":-0.1,"bytes":[52],"top_logprobs":[{"token":"4","logprob":-0.1,"bytes":null}]}]}}],"usage":{"prompt_tokens":3,"completion_tokens":4,"completion_tokens_details":{"reasoning_tokens":1}}})";
  const std::string stream =
      "data: {\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"2 and 2\"}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" 4\"},\"finish_reason\":\"stop\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n";
  const std::string inline_thought =
      "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"<thi\"}}]}\n\ndata: "
      "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"nk>a</"
      "think>b\"}},{\"index\":0,\"text\":\"t\",\"logprobs\":{\"tokens\":[\"t\"],\"token_logprobs\":[-1],\"top_"
      "logprobs\":[{\"t\":-1}]},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n";
  std::vector<std::string> out;
  for (const char mode : {'\0', '\1'}) {  // status 200, plain and streamed
    for (const std::string& body :
         {chat, stream, inline_thought, std::string(R"({"choices":[{"text":" once","finish_reason":"length"}]})"),
          std::string("data: {\"error\":{\"message\":\"no\",\"code\":\"insufficient_quota\"}}\n\n")})
      out.push_back(mode + body);
  }
  for (char mode = 2; mode < 16; mode += 2)
    out.push_back(mode +
                  std::string(R"({"error":{"message":"no","type":"t","param":"p","code":"insufficient_quota"}})"));
  out.push_back("\x04<html>busy</html>");
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view body = fuzz::text_of(data, size);
  constexpr int kStatuses[] = {200, 400, 401, 402, 404, 429, 500, 301};
  const size_t mode = fuzz::take_choice(body, 16);
  const int status = kStatuses[mode / 2];
  RETORT_CHECK(ask(status, mode % 2 == 1, {body}) == ask(status, mode % 2 == 1, fuzz::cut(body)));
  return 0;
}
