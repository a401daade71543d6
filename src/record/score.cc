#include "record/score.h"

#include "record/codec.h"

namespace retort {

Json encode(const Score& score) {
  return {{"id", score.id},           {"prompt_id", score.prompt_id},
          {"sample", score.sample},   {"model", score.model},
          {"task", score.task},       {"gold", score.gold},
          {"pred", score.pred},       {"correct", score.correct},
          {"how", score.how},         {"reasoning", score.reasoning},
          {"content", score.content}, {"finish_reason", score.finish_reason},
          {"tokens", score.tokens}};
}

Status decode(const Json& json, Score& out) {
  out = Score();
  record_detail::Reader read(json, "score");
  read.need("id", out.id).need("prompt_id", out.prompt_id).number("sample", out.sample).text("model", out.model);
  read.text("task", out.task).text("gold", out.gold).text("pred", out.pred).flag("correct", out.correct);
  read.text("how", out.how).text("reasoning", out.reasoning).text("content", out.content);
  read.text("finish_reason", out.finish_reason).count("tokens", out.tokens);
  return read.done();
}

}  // namespace retort
