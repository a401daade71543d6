#include "eval/partial.h"

#include "base/json.h"

namespace retort::eval {
namespace {

std::string header(const std::string& key) {
  return to_text(Json{{"retort", "partial scores"}, {"version", 1}, {"key", key}}) + "\n";
}

}  // namespace

Result<Partial> Partial::open(const std::string& path, const std::string& key, Env& env, std::vector<Score>& scores) {
  Partial partial;
  if (path.empty()) return partial;
  const std::string first = header(key);
  std::string whole = first;  // what of the file is sound
  if (env.exists(path)) {
    RETORT_ASSIGN(const std::string bytes, env.read_file(path));
    if (bytes.starts_with(first)) {
      for (size_t at = first.size(); at < bytes.size();) {
        const size_t end = bytes.find('\n', at);
        if (end == std::string::npos) break;  // cut short by a kill
        const auto json = parse_json(std::string_view(bytes).substr(at, end - at));
        Score score;
        if (!json.ok() || !decode(*json, score).ok()) break;
        scores.push_back(std::move(score));
        at = end + 1;
        whole = bytes.substr(0, at);
      }
    } else if (bytes.find('\n') != std::string::npos) {
      RETORT_TRY(env.rename(path, path + ".old"));
    }
  }
  RETORT_TRY(env.write_file(path, whole));
  RETORT_ASSIGN(partial.file_, env.append_file(path, false));
  return partial;
}

Status Partial::add(const Score& score) {
  if (!file_) return {};
  return file_->append(to_text(encode(score)) + "\n");
}

Status Partial::sync() {
  if (!file_) return {};
  return file_->sync();
}

}  // namespace retort::eval
