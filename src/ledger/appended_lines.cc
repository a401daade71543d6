#include "ledger/appended_lines.h"

#include <utility>

namespace retort::ledger {

Result<LinesRead> read_lines(const std::string& path, Env& env) {
  LinesRead out;
  if (!env.exists(path)) return out;
  RETORT_ASSIGN(const std::string bytes, env.read_file(path));
  size_t at = 0;
  for (size_t end; (end = bytes.find('\n', at)) != std::string::npos; at = end + 1)
    out.lines.push_back(bytes.substr(at, end - at));
  out.torn = bytes.substr(at);
  return out;
}

Result<AppendedLines> AppendedLines::open(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto read, read_lines(path, env));
  if (!read.torn.empty()) {
    std::string whole;
    for (const std::string& line : read.lines) whole += line + "\n";
    RETORT_TRY(env.write_file(path, whole));
  }
  RETORT_ASSIGN(auto file, env.append_file(path, false));
  return AppendedLines(std::move(file), std::move(read.lines));
}

Status AppendedLines::append(const std::vector<std::string>& lines) {
  std::string bytes;
  for (const std::string& line : lines) bytes += line + "\n";
  if (bytes.empty()) return {};
  RETORT_TRY(file_->append(bytes));
  return file_->sync();
}

}  // namespace retort::ledger
