// Published reasoning as traces: rows of a data set that already hold answers. Same permission gate, same records as
// bought traces; finish_reason is "imported" and raw_hash is that of the row. GSM8K's worked solutions become the
// reasoning, with the calculator annotations `<<48/2=24>>` removed (they are marks for a tool, not text), and the final
// answer becomes the content: "The answer is \boxed{72}."
#pragma once

#include <string>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"
#include "collect/permission.h"
#include "record/prompt.h"
#include "record/reject.h"
#include "record/stream.h"
#include "record/tally.h"
#include "record/trace.h"

namespace retort::collect {

// A line of the data set as it is.
struct Row {
  Json json;
};
inline Status decode(const Json& json, Row& out) {
  out.json = json;
  return {};
}

struct ImportOptions {
  std::string format = "auto";
  std::vector<std::string> columns;
  std::string system;
  std::string task;
  int64_t limit = 0;

  template <class V>
  void fields(V&& v) {
    v("format", format, "auto, gsm8k, sharegpt, messages or columns (question, reasoning, response)");
    v("columns", columns,
      "names of the file's columns, as question=q,content=gen: question, reasoning, content, answer, id, task, "
      "rule, system, messages");
    v("system", system, "a system message put before each prompt that has none");
    v("task", task, "the task's name where rows do not give one");
    v("limit", limit, "only the first so many rows; 0: all");
  }
};

// Rows of one question, and the texts of one row's `generations`, are samples 0, 1, ... of one prompt. Each row's id
// comes out as the parent of a trace or as a Reject ("malformed", "empty"). Errors: Invalid (options,
// permission, one id for two questions), and the source's own. Neither sink is closed.
Result<Tally> run_import(const ImportOptions& options, const Permission& permission, Source<Row>& rows,
                         Sink<Trace>& kept, Sink<Reject>& dropped, Env& env);

// "48/2 = <<48/2=24>>24" to "48/2 = 24".
std::string without_annotations(std::string_view solution);

}  // namespace retort::collect
