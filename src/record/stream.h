// Where a stage's records come from and go to. Records travel as JSON Lines; a name that ends in .zst is compressed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"

namespace retort {

template <class T>
class Source {
 public:
  virtual ~Source() = default;
  // The next record, or nullopt at the end. Errors name the file and the line.
  virtual Result<std::optional<T>> next() = 0;
};

template <class T>
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status put(const T& record) = 0;
  // Makes everything durable under its final name. Without it nothing appears there.
  virtual Status close() = 0;
};

// Lines of a file: plain or zstd by name. Lines over kMaxLineBytes are Invalid.
inline constexpr size_t kMaxLineBytes = 64u << 20;
Result<std::unique_ptr<Source<std::string>>> open_lines(const std::string& path);
// Collects lines under a temporary name; close() syncs and renames. `path` may end in .zst.
Result<std::unique_ptr<Sink<std::string>>> create_lines(const std::string& path, Env& env);

// A record as a line holds it. Errors: Invalid for a line that no file may have, and decode()'s.
template <class T>
Result<T> from_line(const std::string& line) {
  if (line.size() > kMaxLineBytes)
    return fail(Code::Invalid, "a record of {} bytes is over the limit of {} bytes", line.size(), kMaxLineBytes);
  RETORT_ASSIGN(const Json json, parse_json(line));
  T record;
  RETORT_TRY(decode(json, record));
  return record;
}
// The line that `record` is kept as. What would not read back (a line over kMaxLineBytes, a count over kMaxCount) is
// refused here, as Invalid, so that a store which asks this first never holds what no later run can read.
template <class T>
Result<std::string> to_line(const T& record) {
  std::string line = to_text(encode(record));
  RETORT_TRY(from_line<T>(line));
  return line;
}

template <class T>
class VectorSource final : public Source<T> {
 public:
  explicit VectorSource(std::vector<T> items) : items_(std::move(items)) {}
  Result<std::optional<T>> next() override {
    if (at_ == items_.size()) return std::optional<T>();
    return std::optional<T>(items_[at_++]);
  }

 private:
  std::vector<T> items_;
  size_t at_ = 0;
};

template <class T>
class VectorSink final : public Sink<T> {
 public:
  Status put(const T& record) override {
    items.push_back(record);
    return {};
  }
  Status close() override { return {}; }
  std::vector<T> items;
};

namespace record_detail {

template <class T>
class JsonlSource final : public Source<T> {
 public:
  JsonlSource(std::unique_ptr<Source<std::string>> lines, std::string path)
      : lines_(std::move(lines)), path_(std::move(path)) {}
  Result<std::optional<T>> next() override {
    for (;;) {
      RETORT_ASSIGN(std::optional<std::string> line, lines_->next());
      if (!line) return std::optional<T>();
      ++number_;
      if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string where = fmt::format("{} line {}", path_, number_);
      if (number_ == 1 && (*line)[line->find_first_not_of(" \t\r")] == '[')
        return fail(Code::Invalid, "{}: this is a JSON array; write one object a line", where);
      auto json = parse_json(*line);
      if (!json.ok()) return within(where, std::move(json).error());
      T record;
      if (auto status = decode(*json, record); !status.ok()) return within(where, std::move(status).error());
      return std::optional<T>(std::move(record));
    }
  }

 private:
  std::unique_ptr<Source<std::string>> lines_;
  std::string path_;
  int64_t number_ = 0;
};

template <class T>
class JsonlSink final : public Sink<T> {
 public:
  explicit JsonlSink(std::unique_ptr<Sink<std::string>> lines) : lines_(std::move(lines)) {}
  Status put(const T& record) override { return lines_->put(to_text(encode(record))); }
  Status close() override { return lines_->close(); }

 private:
  std::unique_ptr<Sink<std::string>> lines_;
};

}  // namespace record_detail

// Records of a JSONL file (.jsonl or .jsonl.zst) as T, by T's decode().
template <class T>
Result<std::unique_ptr<Source<T>>> open_jsonl(const std::string& path) {
  RETORT_ASSIGN(auto lines, open_lines(path));
  return std::unique_ptr<Source<T>>(std::make_unique<record_detail::JsonlSource<T>>(std::move(lines), path));
}

template <class T>
Result<std::unique_ptr<Sink<T>>> create_jsonl(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto lines, create_lines(path, env));
  return std::unique_ptr<Sink<T>>(std::make_unique<record_detail::JsonlSink<T>>(std::move(lines)));
}

template <class T>
Result<std::vector<T>> read_all(Source<T>& source) {
  std::vector<T> items;
  for (;;) {
    RETORT_ASSIGN(std::optional<T> item, source.next());
    if (!item) return items;
    items.push_back(std::move(*item));
  }
}

}  // namespace retort
