// Request bodies as clients send them to `retort serve`: refused with the OpenAI error that names the member, or read;
// what was read, written by our own client, reads back to the same request.
#include "base/fuzz/target.h"
#include "wire/openai.h"

namespace {

void check(const retort::Json& body, bool chat) {
  using namespace retort;
  wire::ApiCall call;
  const auto refusal = chat ? wire::parse_chat(body, {}, call) : wire::parse_completion(body, {}, call);
  if (refusal) {
    RETORT_CHECK(refusal->status >= 400 && refusal->status < 500 && !refusal->message.empty());
    const wire::ApiError read = wire::decode_error(refusal->status, to_text(wire::encode(*refusal)));
    RETORT_CHECK(read.code == refusal->code && read.type == refusal->type);
    return;
  }
  RETORT_CHECK(!call.requests.empty() && call.chat == chat);
  if (call.requests.size() != 1 || call.echo || call.no_completion) return;
  wire::EncodeOptions options;
  options.stream = call.stream;
  const Json written = wire::encode_request(call.requests[0], call.model, options);
  wire::ApiCall again;
  const auto trouble = chat ? wire::parse_chat(written, {}, again) : wire::parse_completion(written, {}, again);
  RETORT_CHECK(!trouble);
  RETORT_CHECK(again.requests.size() == 1 && again.stream == call.stream);
  RETORT_CHECK(to_text(wire::encode_request(again.requests[0], again.model, options)) == to_text(written));
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {
      R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"hi"}]}],"temperature":0.5,"top_p":0.9,"top_k":4,"max_tokens":7,"n":2,"seed":3,"stop":["a","b"],"stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":2,"user":"u","chat_template_kwargs":{"enable_thinking":false}})",
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":1,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto","response_format":{"type":"text"},"frequency_penalty":0,"logit_bias":{}})",
      R"({"model":"m","prompt":"once","max_tokens":0,"echo":true,"logprobs":5})",
      R"({"model":"m","prompt":["a","b"],"n":3,"stop":"x"})",
      R"({"model":"m","prompt":[[1,2,3],[4]],"max_tokens":4,"suffix":null,"best_of":1})",
      R"({"model":"m","prompt":[1,2,2147483648]})"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const auto body = parse_json(fuzz::text_of(data, size), wire::kMaxRequestValues);
  if (!body.ok()) return 0;
  check(*body, true);
  check(*body, false);
  return 0;
}
