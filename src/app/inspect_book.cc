#include "app/inspect_book.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "ledger/appended_lines.h"
#include "ledger/provenance.h"
#include "record/stream.h"

namespace retort::app {
namespace {

std::string member(const Json& payload, const char* key) {
  const auto text = get_string(payload, key, "");
  return text.ok() ? *text : "";
}

// The names or values of a list, joined; `most` characters of each.
std::string listed(const Json* list, size_t most) {
  if (list == nullptr || !list->is_array()) return "";
  std::string out;
  for (const Json& item : *list)
    if (item.is_string()) out += (out.empty() ? "" : ", ") + item.get<std::string>().substr(0, most);
  return out;
}

int64_t count_in(const Json& object, const char* key) {
  const auto count = get_int(object, key, 0);
  return count.ok() ? *count : 0;
}

}  // namespace

bool is_provenance_book(const std::string& path, Env& env) {
  if (env.is_directory(path) || !env.exists(path)) return false;
  if (std::filesystem::path(path).filename() == "provenance.jsonl") return true;
  const auto lines = open_lines(path);
  if (!lines.ok()) return false;
  const auto first = (*lines)->next();
  if (!first.ok() || !*first) return false;
  const auto json = parse_json(**first);
  if (!json.ok()) return false;
  const std::initializer_list<const char*> members = {"seq", "prev", "kind", "payload", "hash"};
  return std::all_of(members.begin(), members.end(), [&](const char* key) { return find(*json, key) != nullptr; });
}

Result<Json> inspect_provenance(const std::string& path, Env& env) {
  RETORT_ASSIGN(const auto read, ledger::read_provenance(path, env));
  RETORT_ASSIGN(const auto lines, ledger::read_lines(path, env));
  Json entries = Json::array();
  for (const ledger::ProvenanceEntry& e : read)
    entries.push_back({{"seq", e.seq}, {"kind", e.kind}, {"payload", e.payload}, {"hash", e.hash}});
  return Json{{"kind", "provenance book"}, {"path", path},
              {"chain", "holds"},          {"head", read.empty() ? std::string(64, '0') : read.back().hash},
              {"torn", lines.torn.size()}, {"entries", entries}};
}

std::string provenance_text(const Json& book) {
  std::string out = fmt::format("provenance book, {} entries, chain holds\nhead {}\n", book["entries"].size(),
                                book["head"].get<std::string>());
  if (const auto torn = book["torn"].get<int64_t>(); torn > 0)
    out += fmt::format("{} bytes after the last entry were left by a process that died; the next run takes them off\n",
                       torn);
  for (const Json& entry : book["entries"]) {
    const Json& payload = entry["payload"];
    out += fmt::format("\n{:>4}  {}  {} ({})  entry {:.12}\n", entry["seq"].get<int64_t>(), member(payload, "when"),
                       member(payload, "step"), entry["kind"].get<std::string>(), entry["hash"].get<std::string>());
    if (const std::string parents = listed(find(payload, "parents"), SIZE_MAX); !parents.empty())
      out += fmt::format("      made from    {}\n", parents);
    if (const Json* inputs = find(payload, "inputs"); inputs != nullptr && inputs->is_object())
      for (const auto& [path, hash] : inputs->items())
        out += fmt::format("      read         {:.12} {}\n", hash.is_string() ? hash.get<std::string>() : "", path);
    if (const Json* outputs = find(payload, "outputs"); outputs != nullptr && outputs->is_object())
      for (const auto& [path, hash] : outputs->items())
        out += fmt::format("      wrote        {:.12} {}\n", hash.is_string() ? hash.get<std::string>() : "", path);
    if (const std::string permissions = listed(find(payload, "permissions"), 12); !permissions.empty())
      out += fmt::format("      permissions  {}\n", permissions);
  }
  return out;
}

std::string lineage_text(const Json& provenance, int indent) {
  const std::string space(static_cast<size_t>(indent), ' ');
  std::string out;
  if (const Json* examples = find(provenance, "examples"); examples != nullptr && examples->is_object()) {
    out += fmt::format("{}{} examples, SHA-256 {:.12}\n", space, count_in(*examples, "records"),
                       member(*examples, "sha256"));
    if (const Json* teachers = find(*examples, "teachers"); teachers != nullptr && teachers->is_array())
      for (const Json& t : *teachers)
        out += fmt::format("{}  {} of {}, permission {:.12}\n", space, count_in(t, "examples"), member(t, "teacher"),
                           member(t, "permission_hash"));
  }
  for (const char* part : {"base", "tokenizer"}) {
    const Json* from = find(provenance, part);
    if (from == nullptr || !from->is_object()) continue;
    out += fmt::format("{}{} {}, SHA-256 {:.12}\n", space, part, member(*from, "name"), member(*from, "sha256"));
    if (const Json* before = find(*from, "provenance")) out += lineage_text(*before, indent + 2);
  }
  return out;
}

}  // namespace retort::app
