#include "collect/plan.h"

#include <utility>

#include "base/hash.h"
#include "base/random.h"
#include "record/questions.h"

namespace retort::collect {
namespace {

// A chat template adds tokens that the messages do not show: role marks, a default system message.
constexpr int64_t kTemplateTokens = 1024;

Status check(const Options& o) {
  if (o.endpoint.empty()) return fail(Code::Invalid, "`endpoint` is empty; give the teacher's address up to /v1");
  if (o.model.empty()) return fail(Code::Invalid, "`model` is empty; give the model's name at {}", o.endpoint);
  if (o.samples < 1) return fail(Code::Invalid, "`samples` is {}; give 1 or more", o.samples);
  if (o.concurrency < 1) return fail(Code::Invalid, "`concurrency` is {}; give 1 or more", o.concurrency);
  if (o.max_tokens < 1)
    return fail(Code::Invalid, "`max_tokens` is {}; give 1 or more, the cap cannot be kept for answers without end",
                o.max_tokens);
  if (o.temperature && !(*o.temperature >= 0))
    return fail(Code::Invalid, "`temperature` is {}; give 0 or more, or `unset`", *o.temperature);
  if (o.top_p && !(*o.top_p > 0 && *o.top_p <= 1))
    return fail(Code::Invalid, "`top_p` is {}; give more than 0, at most 1, or `unset`", *o.top_p);
  if (o.requests_per_minute < 0 || o.tokens_per_minute < 0 || o.max_answer_bytes < 0)
    return fail(Code::Invalid, "`requests_per_minute`, `tokens_per_minute` and `max_answer_bytes` must be 0 or more");
  if (o.limit < 0) return fail(Code::Invalid, "`limit` is {}; give 0 (all) or more", o.limit);
  if (o.max_attempts < 1 || o.max_busy < 1 || o.max_refused < 1)
    return fail(Code::Invalid, "`max_attempts`, `max_busy` and `max_refused` must be 1 or more");
  if (o.backoff_ms < 0 || o.backoff_max_ms < o.backoff_ms)
    return fail(Code::Invalid, "`backoff_ms` is {} and `backoff_max_ms` {}; give 0 or more and no less than that",
                o.backoff_ms, o.backoff_max_ms);
  return {};
}

Item make_item(const Options& o, const Json& extra, const Prompt& prompt, int sample) {
  Item item;
  item.sample = sample;
  item.sampling.temperature = o.temperature.value_or(item.sampling.temperature);
  item.sampling.top_p = o.top_p.value_or(item.sampling.top_p);
  item.sampling.max_tokens = o.max_tokens;
  item.params = {{"model", o.model}};
  if (o.temperature) item.params["temperature"] = *o.temperature;
  if (o.top_p) item.params["top_p"] = *o.top_p;
  item.params["max_tokens"] = o.max_tokens;
  for (const auto& [name, value] : extra.items()) {
    if (!value.is_null()) item.params["extra_body"][name] = value;
  }
  if (o.seed >= 0) {
    Random random(static_cast<uint64_t>(o.seed), fnv1a(fmt::format("{}\n{}", prompt.id, sample)));
    const uint64_t seed = random.next() >> 33;  // 31 bits: some APIs refuse more
    item.sampling.seed = seed;
    item.params["seed"] = seed;
  }
  item.params_hash = sha256(to_text({item.params, encode(prompt.messages)}));
  return item;
}

}  // namespace

Result<Json> extra_members(const Options& options) {
  Json extra = Json::object();
  if (!options.extra_body.empty()) {
    auto parsed = parse_json(options.extra_body);
    if (!parsed.ok()) return within("`extra_body`", std::move(parsed).error());
    if (!parsed->is_object())
      return fail(Code::Invalid, "`extra_body` is {}; give a JSON object such as {{\"reasoning_effort\": \"high\"}}",
                  parsed->type_name());
    extra = std::move(*parsed);
  }
  // What an option of retort's own sets, or what the worst case and the reading of answers rest on.
  constexpr std::pair<const char*, const char*> kOwn[] = {{"model", "model"},
                                                          {"messages", "prompts"},
                                                          {"prompt", "prompts"},
                                                          {"temperature", "temperature"},
                                                          {"top_p", "top_p"},
                                                          {"max_tokens", "max_tokens"},
                                                          {"seed", "seed"},
                                                          {"max_completion_tokens", "max_tokens"},
                                                          {"n", "samples"},
                                                          {"best_of", "samples"},
                                                          {"stream", "no_stream"},
                                                          {"stream_options", "no_stream"},
                                                          {"max_output_tokens", "max_tokens"}};
  for (const auto& [name, option] : kOwn) {
    if (find(extra, name) != nullptr)
      return fail(Code::Invalid, "`extra_body` sets `{}`; that is decided by the option `{}`", name, option);
  }
  if (!options.temperature) extra["temperature"] = nullptr;
  if (!options.top_p) extra["top_p"] = nullptr;
  return extra;
}

UsdMicros worst_cost(const ledger::Price& price, const std::vector<Message>& messages, int max_tokens,
                     size_t extra_bytes) {
  const int64_t bytes = static_cast<int64_t>(to_text(encode(messages)).size() + extra_bytes);
  return ledger::worst_case(price, bytes + kTemplateTokens, max_tokens);
}

Result<Plan> make_plan(const Options& options, const ledger::Price& price, Source<Prompt>& prompts) {
  RETORT_TRY(check(options));
  RETORT_ASSIGN(const Json extra, extra_members(options));
  Plan plan;
  Questions questions;
  while (options.limit == 0 || static_cast<int64_t>(plan.prompts.size()) < options.limit) {
    RETORT_ASSIGN(std::optional<Prompt> prompt, prompts.next());
    if (!prompt) break;
    RETORT_ASSIGN(std::string repeats, questions.add(*prompt));
    if (!repeats.empty()) {
      plan.repeated.push_back({prompt->id, "collect", "duplicate", std::move(repeats)});
      continue;
    }
    if (!options.system.empty() && prompt->messages.front().role != "system")
      prompt->messages.insert(prompt->messages.begin(), Message{"system", options.system, "", {}});
    const UsdMicros reserve = worst_cost(price, prompt->messages, options.max_tokens, options.extra_body.size());
    constexpr size_t kBytesPerToken = 3;  // of a prompt, guessed low
    const auto tokens = static_cast<int64_t>(to_text(encode(prompt->messages)).size() / kBytesPerToken);
    for (int sample = 0; sample < options.samples; ++sample) {
      Item item = make_item(options, extra, *prompt, sample);
      item.tokens = tokens + options.max_tokens;
      item.prompt = plan.prompts.size();
      item.reserve = reserve;
      plan.items.push_back(std::move(item));
    }
    plan.prompts.push_back(std::move(*prompt));
  }
  return plan;
}

Trace make_trace(const Prompt& prompt, const Item& item, const Permission& permission, const model::Reply& reply,
                 const std::string& raw_hash) {
  const model::Choice& choice = reply.choices.front();
  Trace t;
  t.id = short_id(fmt::format("{}\n{}\n{}", prompt.id, item.sample, raw_hash));
  t.prompt_id = prompt.id;
  t.sample = item.sample;
  t.messages = prompt.messages;
  t.answer = prompt.answer;
  t.rule = prompt.rule;
  t.task = prompt.task;
  t.reasoning = choice.reasoning;
  t.content = choice.content;
  t.finish_reason = choice.finish_reason;
  t.teacher = permission.name;
  t.model = reply.model;
  t.permission_hash = permission.hash;
  t.raw_hash = raw_hash;
  t.params = item.params;
  t.usage = reply.usage;
  return t;
}

}  // namespace retort::collect
