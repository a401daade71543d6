#include "record/tally.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "record/codec.h"

namespace retort {
namespace {

Json encode_counts(const std::map<std::string, int64_t>& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[name] = count;
  return json;
}

Status decode_counts(const Json& json, std::string_view key, std::map<std::string, int64_t>& out) {
  const Json* counts = find(json, key);
  if (counts == nullptr || counts->is_null()) return {};
  if (!counts->is_object()) return fail(Code::Invalid, "`{}` must be a map, not {}", key, counts->type_name());
  for (const auto& [name, unused] : counts->items()) {
    RETORT_ASSIGN(out[name], need_int(*counts, name));
  }
  return {};
}

}  // namespace

Json encode(const Tally& tally) {
  Json json = {{"in", tally.in},
               {"kept", tally.kept},
               {"dropped", tally.dropped},
               {"reasons", encode_counts(tally.reasons)},
               {"counts", encode_counts(tally.counts)}};
  if (tally.unfinished > 0) {
    json["incomplete"] = true;
    json["unfinished"] = tally.unfinished;
  }
  return json;
}

Status decode(const Json& json, Tally& out) {
  out = Tally();
  record_detail::Reader read(json, "tally");
  read.count("in", out.in).count("kept", out.kept).count("dropped", out.dropped);
  bool incomplete = false;  // said by `unfinished` again, for readers of the file
  read.count("unfinished", out.unfinished).flag("incomplete", incomplete);
  RETORT_TRY(read.done());
  RETORT_TRY(decode_counts(json, "reasons", out.reasons));
  return decode_counts(json, "counts", out.counts);
}

std::string reasons_text(const Tally& tally) {
  std::string text;
  for (const auto& [reason, count] : tally.reasons)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  return text.empty() ? "none" : text;
}

void Accounting::in(const std::string& id) {
  ++tally_.in;
  seen_.emplace(id, false);
}

void Accounting::dropped(const std::string& id, const std::string& reason) {
  ++tally_.dropped;
  ++tally_.reasons[reason];
  mark(id);
}

void Accounting::unfinished(const std::string& id) {
  ++tally_.unfinished;
  mark(id);
}

void Accounting::mark(const std::string& id) {
  const auto it = seen_.find(id);
  if (it != seen_.end())
    it->second = true;
  else if (unknown_.empty())
    unknown_ = id;
}

Result<Tally> Accounting::finish() {
  if (!unknown_.empty())
    return fail(Code::Internal, "a record names the input `{}`, which this run never read; report this defect",
                unknown_);
  std::vector<std::string> missing;
  for (const auto& [id, out] : seen_) {
    if (!out) missing.push_back(id);
  }
  if (!missing.empty()) {
    std::sort(missing.begin(), missing.end());
    std::string names;
    for (size_t i = 0; i < std::min<size_t>(missing.size(), 3); ++i) names += (i > 0 ? ", `" : "`") + missing[i] + "`";
    return fail(Code::Internal, "{} of {} inputs were neither kept nor rejected ({}{}); report this defect",
                missing.size(), seen_.size(), names, missing.size() > 3 ? ", ..." : "");
  }
  return tally_;
}

}  // namespace retort
