// The outside world behind one interface: clocks, files, randomness. Stages get an Env& and never call the operating
// system themselves, so tests can stop the clock, fill the disk or cut a write short. Non-goals: sockets
// (net/transport.h), mapped files (base/mapped_file.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace retort {

// A file open for appending. Not thread-safe.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  virtual Status append(std::string_view bytes) = 0;
  // Returns once everything appended so far is on stable storage.
  virtual Status sync() = 0;
};

class Env {
 public:
  virtual ~Env() = default;

  virtual int64_t wall_us() = 0;       // since 1970-01-01 UTC
  virtual int64_t monotonic_us() = 0;  // since an arbitrary start, never goes back
  virtual void sleep_us(int64_t duration_us) = 0;
  virtual void random_bytes(std::span<uint8_t> out) = 0;  // from the kernel, for keys and ids; never for sampling

  // The whole of a regular file; Invalid for anything else, which may never end. Limit where memory is short.
  virtual Result<std::string> read_file(const std::string& path) = 0;
  // Whole or not at all: writes `path`.tmp-<random>, syncs it, renames it over `path`, syncs the folder.
  virtual Status write_file(const std::string& path, std::string_view bytes) = 0;
  // Creates the file where absent; `truncate` empties it first.
  virtual Result<std::unique_ptr<AppendFile>> append_file(const std::string& path, bool truncate) = 0;
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;
  virtual Result<int64_t> file_size(const std::string& path) = 0;
  virtual Status make_directories(const std::string& path) = 0;
  // Entries' names (not paths), sorted bytewise.
  virtual Result<std::vector<std::string>> list_directory(const std::string& path) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;  // and syncs the folder of `to`
  // Puts two folders in each other's place: in one step where the file system can, else `b` is away for a moment.
  virtual Status exchange(const std::string& a, const std::string& b);
  // Removes a file or a whole tree, whoever made it (remove_made() of base/folder.h asks); absence is not an error.
  virtual Status remove_all(const std::string& path) = 0;
};

// The real world. Lives as long as the process; thread-safe.
Env& system_env();

// Largest files of each kind that are read whole, in bytes; the largest known are named.
inline constexpr int64_t kMaxSmallFile = 8 << 20;        // config.json and its like, YAML, keys, notes of runs
inline constexpr int64_t kMaxTemplateFile = 1 << 20;     // a chat template; some have 20 kB
inline constexpr int64_t kMaxTokenizerFile = 256 << 20;  // tokenizer.json; Gemma 3's has 33 MB
inline constexpr int64_t kMaxIndexFile = 64 << 20;       // model.safetensors.index.json; DeepSeek V3's has 9 MB
// read_file() of a file of at most `limit` bytes; Limit where it has more.
Result<std::string> read_file(Env& env, const std::string& path, int64_t limit);

// A descriptor of the regular file `path`, open for reading; closed by the caller. Never waits (for a pipe's writer).
// `size` gets its bytes. Errors: NotFound, Invalid (a folder, pipe, socket or device), Io.
Result<int> open_regular(const std::string& path, int64_t& size);

// "2026-02-22T10:00:00Z" of a wall clock reading.
std::string utc_time(int64_t wall_us);
// "2026-02-22" of a wall clock reading.
std::string utc_date(int64_t wall_us);

}  // namespace retort
