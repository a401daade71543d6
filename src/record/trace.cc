#include "record/trace.h"

#include "record/codec.h"
#include "record/kind.h"

namespace retort {

Json encode(const Trace& trace) {
  Json json = {{"id", trace.id},
               {"prompt_id", trace.prompt_id},
               {"sample", trace.sample},
               {"messages", encode(trace.messages)},
               {"answer", trace.answer},
               {"task", trace.task},
               {"reasoning", trace.reasoning},
               {"content", trace.content},
               {"finish_reason", trace.finish_reason},
               {"teacher", trace.teacher},
               {"model", trace.model},
               {"permission_hash", trace.permission_hash},
               {"raw_hash", trace.raw_hash}};
  if (!trace.rule.empty()) json["rule"] = trace.rule;
  if (!trace.params.is_null()) json["params"] = trace.params;
  json["usage"] = {{"prompt_tokens", trace.usage.prompt_tokens},
                   {"completion_tokens", trace.usage.completion_tokens},
                   {"reasoning_tokens", trace.usage.reasoning_tokens}};
  if (trace.usage.cached_tokens > 0) json["usage"]["cached_tokens"] = trace.usage.cached_tokens;
  return json;
}

Status decode(const Json& json, Trace& out) {
  out = Trace();
  const Json* usage = find(json, "usage");
  const Json none = Json::object();
  RETORT_TRY(check_kind(json, "trace"));
  record_detail::Reader read(json, "trace");
  read.need("id", out.id).need("prompt_id", out.prompt_id).number("sample", out.sample);
  read.nested("messages", out.messages).text("answer", out.answer).text("task", out.task);
  read.text("rule", out.rule);
  read.text("reasoning", out.reasoning).text("content", out.content).text("finish_reason", out.finish_reason);
  read.text("teacher", out.teacher).text("model", out.model).text("permission_hash", out.permission_hash);
  read.text("raw_hash", out.raw_hash).any("params", out.params);
  RETORT_TRY(read.done());
  record_detail::Reader counts(usage == nullptr || usage->is_null() ? none : *usage, "usage");
  counts.count("prompt_tokens", out.usage.prompt_tokens).count("completion_tokens", out.usage.completion_tokens);
  counts.count("reasoning_tokens", out.usage.reasoning_tokens).count("cached_tokens", out.usage.cached_tokens);
  return counts.done();
}

}  // namespace retort
