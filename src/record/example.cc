#include "record/example.h"

#include "record/codec.h"
#include "record/kind.h"

namespace retort {

Json encode(const Example& example) {
  return {{"id", example.id},
          {"parents", example.parents},
          {"prompt_id", example.prompt_id},
          {"messages", encode(example.messages)},
          {"reasoning", example.reasoning},
          {"content", example.content},
          {"answer", example.answer},
          {"how", example.how},
          {"task", example.task},
          {"teacher", example.teacher},
          {"permission_hash", example.permission_hash}};
}

Status decode(const Json& json, Example& out) {
  out = Example();
  RETORT_TRY(check_kind(json, "example"));
  record_detail::Reader read(json, "example");
  read.need("id", out.id).texts("parents", out.parents).text("prompt_id", out.prompt_id);
  read.nested("messages", out.messages).text("reasoning", out.reasoning).text("content", out.content);
  read.text("answer", out.answer).text("how", out.how).text("task", out.task);
  read.text("teacher", out.teacher).text("permission_hash", out.permission_hash);
  return read.done();
}

}  // namespace retort
