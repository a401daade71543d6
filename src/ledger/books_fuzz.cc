// The cost book and the provenance book as files: every sum of rows that are accepted is defined, a torn last line is
// left out, and no chain holds but one that was made link by link.
#include "base/env.h"
#include "base/fuzz/target.h"
#include "ledger/cost_book.h"
#include "ledger/provenance.h"

namespace {

std::string chain() {
  using namespace retort;
  std::string out, prev(64, '0');
  for (int64_t seq = 0; seq < 2; ++seq) {
    Json entry = {{"seq", seq}, {"prev", prev}, {"kind", "collect"}, {"payload", {{"a", seq}}}};
    prev = sha256(to_text(entry));
    entry["hash"] = prev;
    out += to_text(entry) + "\n";
  }
  return out;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  const std::string row =
      R"({"stage":"collect","run":"c/1/1","what":"gpt","state":"done","requests":3,"tokens_in":10,"tokens_out":20,"flops":0,"seconds":1.5,"usd_micros":42})";
  return {row + "\n" + R"({"stage":"train","state":"failed","flops":1e12,"usd_micros":9223372036854775807})" + "\n" +
              R"({"stage":"x","usd_micros":1,"state":"resumed"})" + "\n" + row,
          R"({"stage":"collect","run":"2","state":"possibly charged","usd_micros":7})"
          "\n",
          chain()};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  const std::string path = folder.put("book.jsonl", fuzz::text_of(data, size));
  const auto rows = ledger::read_costs(path, system_env());
  if (rows.ok()) {
    const auto stages = ledger::by_stage(*rows);
    RETORT_CHECK(stages.back().stage == "total");
    for (const ledger::StageCost& stage : stages) RETORT_CHECK(parse_json(to_text(ledger::encode(stage))).ok());
  } else {
    fuzz::check_refusal(rows.error());
  }
  const auto entries = ledger::read_provenance(path, system_env());
  if (!entries.ok()) {
    fuzz::check_refusal(entries.error());
    return 0;
  }
  for (size_t i = 1; i < entries->size(); ++i) RETORT_CHECK((*entries)[i].prev == (*entries)[i - 1].hash);
  return 0;
}
