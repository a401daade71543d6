#include "app/step_book.h"

#include "base/hash.h"

namespace retort::app {

Result<StepBook> StepBook::open(const std::string& out, Env& env) {
  RETORT_ASSIGN(auto opened, ledger::ProvenanceBook::open(out + "/" + kBookName, env));
  StepBook book(std::move(opened));
  for (const ledger::ProvenanceEntry& entry : book.book_.found()) {
    RETORT_ASSIGN(const std::string step, get_string(entry.payload, "step", ""));
    Json payload = entry.payload;
    for (const char* fact : {"program", "when"}) payload.erase(fact);
    book.latest_[step] = std::move(payload);
  }
  return book;
}

Status StepBook::note(const Step& step, const Stamp& stamp, Env& env) {
  // The teacher that the step itself asked, and those of all that it was made from.
  std::set<std::string>& permitted = permitted_[step.id];
  for (const std::string& id : step.after) permitted.insert(permitted_[id].begin(), permitted_[id].end());
  if (const Json* path = find(step.options, "permission"); path != nullptr && path->is_string()) {
    const auto hash = stamp.made_of.inputs.find(path->get<std::string>());
    if (hash != stamp.made_of.inputs.end()) permitted.insert(hash->second);
  }
  Json payload = {{"step", step.id},
                  {"kind", stamp.made_of.kind},
                  {"options_hash", sha256(to_text(stamp.made_of.options))},
                  {"parents", step.after},
                  {"inputs", Json::object()},
                  {"outputs", Json::object()},
                  {"output_hash", stamp.output_hash},
                  {"permissions", permitted}};
  for (const auto& [path, hash] : stamp.made_of.inputs) payload["inputs"][path] = hash;
  for (const StampFile& file : stamp.files) payload["outputs"][file.path] = file.hash;
  const auto before = latest_.find(step.id);
  if (before != latest_.end() && before->second == payload) return {};
  Json dated = payload;
  dated["program"] = std::string("retort ") + RETORT_VERSION;
  dated["when"] = utc_time(env.wall_us());
  RETORT_ASSIGN(const std::string hash, book_.append(step.kind, dated));
  (void)hash;
  latest_[step.id] = std::move(payload);
  return {};
}

}  // namespace retort::app
