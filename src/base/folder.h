// Folder: a directory that retort made, knows again by its mark and holds while it writes there. The mark is the file
// `.retort`: who made the folder, and the name of everything that was put into it, each noted before it is there
// (docs/formats.md). On it rests the one rule about what is the user's: what no mark lists is never overwritten and
// never removed. Env obeys it too: below a held folder it creates and replaces only what the mark lists, follows no
// links, and lists what it creates, so a writer need only hold its folder. Non-goal: users who race with a run.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace retort {

inline constexpr const char* kMarkName = ".retort";

// A finished file as it was when it was sealed. Where size, time and inode are as they were, so are the bytes.
struct Seal {
  int64_t size = 0, mtime_ns = 0, inode = 0;
  std::string sha256;
};

struct Mark {
  std::string by;                                      // who made the folder: "collect", "run", "model", ...
  std::map<std::string, std::optional<Seal>> entries;  // names in the folder; a sealed one may be a path below it
  // Whether `name` is listed, or is what a write that was cut short (or SQLite) leaves beside a listed one.
  bool lists(const std::string& name) const;
};

class Folder {
 public:
  Folder() = default;  // holds nothing

  // Makes `path` (and the folders above it) where it is absent, takes it where it is empty or bears the mark of `by`,
  // and holds it as long as a copy of the result lives. A folder that this process holds already is the same one again.
  // What writes that were cut short left in it, or in its marked folders below, is removed.
  // Errors: Invalid, with nothing changed, where it holds anything without a mark, is a link, was made by another verb,
  // or where a sealed file of it was changed since; Unavailable where another process holds it; Io.
  static Result<Folder> hold(const std::string& path, std::string_view by, Env& env);

  explicit operator bool() const { return held_ != nullptr; }
  const std::string& path() const;

  // Invalid, naming the first, where anything in it, or in folders below it, is not retort's.
  Status survey() const;
  // Removes everything but those for whose path below the folder `keep` is true, after a survey; drops all seals first.
  Status clear(const std::function<bool(const std::string& path)>& keep) const;
  // Notes files that are finished: path below the folder and hash; "" has it computed. From now on they count as the
  // user's where they change.
  Status seal(const std::vector<std::pair<std::string, std::string>>& files) const;
  // Renames it to `path`.before-N, N the first free number, and lets go of it; returns the new path.
  Result<std::string> set_aside();

 private:
  struct Held;
  friend struct FolderAccess;
  explicit Folder(std::shared_ptr<Held> held) : held_(std::move(held)) {}
  std::shared_ptr<Held> held_;
};

// The mark in the folder `path`. Errors: NotFound where it has none; Invalid where `.retort` is something else.
Result<Mark> read_mark(const std::string& path);
// Whether the file is as it was when it was sealed, by size, time and inode.
bool as_sealed(const std::string& file, const Seal& seal);

// To be called before a file is created or replaced otherwise than through Env (by SQLite): lists it where its folder
// is held, and returns whether that is so. Invalid where something lies there that retort did not make, or a link.
Result<bool> claim_name(const std::string& path);

// Removes a file or a whole folder that retort made; absence is no error. A folder goes only where each of its entries,
// at any depth, is listed, a file in a marked folder only where it is. Errors: Invalid, naming what is foreign, with
// nothing removed; Unavailable where another process holds the folder; Io.
Status remove_made(const std::string& path, Env& env);

// `path` without slashes at its end.
std::string without_slash(std::string path);

}  // namespace retort
