// Append-only files of lines, the ground of both books: an append is durable when it returns, and a line that a dying
// process left half-written is taken off when the book is next opened for writing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace retort::ledger {

struct LinesRead {
  std::vector<std::string> lines;  // complete ones
  std::string torn;                // bytes after the last line break, "" where none
};

// Absent file: no lines.
Result<LinesRead> read_lines(const std::string& path, Env& env);

class AppendedLines {
 public:
  // Creates the file where absent and repairs its tail.
  static Result<AppendedLines> open(const std::string& path, Env& env);
  // `lines` hold no line break. All of them are durable when this returns.
  Status append(const std::vector<std::string>& lines);
  const std::vector<std::string>& found() const { return found_; }  // complete lines at open()

 private:
  AppendedLines(std::unique_ptr<AppendFile> file, std::vector<std::string> found)
      : file_(std::move(file)), found_(std::move(found)) {}
  std::unique_ptr<AppendFile> file_;
  std::vector<std::string> found_;
};

}  // namespace retort::ledger
