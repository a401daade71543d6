#include "base/folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

constexpr int kMarkVersion = 1;
using Inode = std::pair<dev_t, ino_t>;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Error os_error(std::string_view what, const std::string& path) {
  const int number = errno;
  const char* advice = number == EACCES || number == EPERM || number == EROFS ? "; check the permissions" : "";
  return fail(number == ENOENT || number == ENOTDIR ? Code::NotFound : Code::Io, "cannot {} {}: {}{}", what, path,
              std::strerror(number), advice);
}

Error is_link(const std::string& path) {
  std::error_code ignored;
  return fail(Code::Invalid,
              "{} is a symbolic link (to {}), through which retort does not write; give what it points to, or move the "
              "link away",
              path, fs::read_symlink(path, ignored).string());
}

Error foreign(const std::string& path) {
  return fail(Code::Invalid, "{} was not made by retort, which leaves it as it is; move it elsewhere and run again",
              path);
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string name_of(const std::string& path) { return fs::path(path).filename().string(); }

std::optional<struct stat> look(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return {};
  return info;
}

Seal facts_of(const struct stat& info) {
  return {static_cast<int64_t>(info.st_size), info.st_mtim.tv_sec * int64_t{1000000000} + info.st_mtim.tv_nsec,
          static_cast<int64_t>(info.st_ino), ""};
}

bool same_facts(const Seal& a, const Seal& b) {
  return a.size == b.size && a.mtime_ns == b.mtime_ns && a.inode == b.inode;
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// The name that `name` is a leftover of: NAME.part, NAME.tmp, NAME.tmp-<12 hexadecimal digits>; else "".
std::string cut_short(const std::string& name) {
  for (const std::string_view end : {".part", ".tmp"})
    if (name.ends_with(end)) return name.substr(0, name.size() - end.size());
  constexpr std::string_view kMark = ".tmp-";
  constexpr size_t kDigits = 12;
  if (name.size() <= kMark.size() + kDigits) return "";
  const size_t at = name.size() - kMark.size() - kDigits;
  return name.substr(at, kMark.size()) == kMark && is_hex(std::string_view(name).substr(at + kMark.size()))
             ? name.substr(0, at)
             : "";
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  RETORT_ASSIGN(std::vector<std::string> names, system_env().list_directory(path));
  std::erase(names, kMarkName);
  return names;
}

Result<std::string> read_fd(int fd, const std::string& path) {
  std::string text;
  char buffer[1 << 14];
  for (;;) {
    const ssize_t n = ::pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read", path);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

std::string header(std::string_view by) {
  return to_text({{"retort", "folder"}, {"version", kMarkVersion}, {"by", std::string(by)}}) + "\n";
}

std::string line_of(const std::string& name, const std::optional<Seal>& seal) {
  Json json = {{"name", name}};
  if (seal) {
    json["size"] = seal->size;
    json["mtime_ns"] = seal->mtime_ns;
    json["inode"] = seal->inode;
    json["sha256"] = seal->sha256;
  }
  return to_text(json) + "\n";
}

// `text` up to its last line break.
Result<Mark> parse_mark(std::string_view text, const std::string& path) {
  Mark mark;
  bool first = true;
  for (const std::string_view line : split(text.substr(0, text.rfind('\n') + 1), '\n')) {
    if (line.empty()) continue;
    const auto read = [&]() -> Status {
      RETORT_ASSIGN(const Json json, parse_json(line));
      if (first) {
        RETORT_ASSIGN(const std::string magic, need_string(json, "retort"));
        RETORT_ASSIGN(const int64_t version, need_int(json, "version"));
        RETORT_ASSIGN(mark.by, need_string(json, "by"));
        if (magic != "folder") return fail(Code::Invalid, "`retort` is `{}`", magic);
        if (version != kMarkVersion)
          return fail(Code::Invalid, "it is of version {}, this program knows {}", version, kMarkVersion);
        return {};
      }
      if (find(json, "unsealed") != nullptr) {
        for (auto& [name, seal] : mark.entries) seal.reset();
        return {};
      }
      RETORT_ASSIGN(const std::string name, need_string(json, "name"));
      std::optional<Seal>& seal = mark.entries[name];
      seal.reset();
      if (find(json, "sha256") == nullptr) return {};
      seal.emplace();
      RETORT_ASSIGN(seal->size, need_int(json, "size"));
      RETORT_ASSIGN(seal->mtime_ns, need_int(json, "mtime_ns"));
      RETORT_ASSIGN(seal->inode, need_int(json, "inode"));
      RETORT_ASSIGN(seal->sha256, need_string(json, "sha256"));
      return {};
    };
    if (const Status status = read(); !status.ok())
      return fail(Code::Invalid, "{} is no mark of this program's ({}); give another folder", path,
                  status.error().message);
    first = false;
  }
  if (first) return fail(Code::Invalid, "{} says nothing", path);
  return mark;
}

// Removes what writes that were cut short left beside listed names, here and in marked folders below.
Status sweep_at(const std::string& path, Env& env) {
  const auto mark = read_mark(path);
  if (!mark.ok()) return {};
  RETORT_ASSIGN(const std::vector<std::string> names, names_in(path));
  for (const std::string& name : names) {
    const std::string at = path + "/" + name;
    const auto info = look(at);
    if (info && S_ISDIR(info->st_mode) && mark->lists(name)) RETORT_TRY(sweep_at(at, env));
    if (info && S_ISREG(info->st_mode) && mark->entries.contains(cut_short(name))) RETORT_TRY(env.remove_all(at));
  }
  return {};
}

}  // namespace

bool Mark::lists(const std::string& name) const {
  if (entries.contains(name) || entries.contains(cut_short(name))) return true;
  for (const std::string_view end : {"-wal", "-shm", "-journal"})
    if (name.ends_with(end) && entries.contains(name.substr(0, name.size() - end.size()))) return true;
  return false;
}

struct Folder::Held {
  std::string path;
  Env& env;
  Inode inode;
  Fd directory, mark_file;  // the lock is on the mark
  std::mutex mutex;
  Mark mark;
  bool marked = false, made = false;  // by this holding: the mark, the folder too

  Held(std::string where, Env& e, Inode i, Fd d, Fd m)
      : path(std::move(where)), env(e), inode(i), directory(std::move(d)), mark_file(std::move(m)) {}
  ~Held();

  std::string at(const std::string& name) const { return path + "/" + name; }

  // All of `lines` or, where the disk is full, none: a torn one would spoil the next.
  Status append(const std::string& lines) {
    struct stat before{};
    if (::fstat(mark_file.get(), &before) != 0) return os_error("read", at(kMarkName));
    std::string_view rest = lines;
    while (!rest.empty()) {
      const ssize_t n = ::write(mark_file.get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        Error error = os_error("write", at(kMarkName));
        (void)!::ftruncate(mark_file.get(), before.st_size);
        return error;
      }
      rest.remove_prefix(static_cast<size_t>(n));
    }
    if (::fdatasync(mark_file.get()) != 0) return os_error("sync", at(kMarkName));
    return {};
  }
  Status list(const std::string& name) {
    const std::lock_guard lock(mutex);
    if (mark.entries.contains(name)) return {};
    RETORT_TRY(append(line_of(name, {})));
    mark.entries[name];
    return {};
  }
};

// What this process holds, by inode: a path may be spelled in many ways.
struct FolderAccess {
  using Held = Folder::Held;
  static std::mutex& mutex() {
    static std::mutex m;
    return m;
  }
  static std::map<Inode, std::weak_ptr<Held>>& all() {
    static std::map<Inode, std::weak_ptr<Held>> held;
    return held;
  }
  static std::shared_ptr<Held> find(Inode inode) {
    const std::lock_guard lock(mutex());
    const auto at = all().find(inode);
    return at == all().end() ? nullptr : at->second.lock();
  }
  static std::shared_ptr<Held> find(const std::string& path) {
    {
      const std::lock_guard lock(mutex());
      if (all().empty()) return nullptr;
    }
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? find(Inode{info.st_dev, info.st_ino}) : nullptr;
  }

  static Result<std::shared_ptr<Held>> open(const std::string& path, std::string_view by, Env& env);
  static Status check_seals(Held& held);
};

Folder::Held::~Held() {
  {
    const std::lock_guard lock(FolderAccess::mutex());
    FolderAccess::all().erase(inode);
  }
  // What was made for nothing goes again; were anything else in it, rmdir would refuse.
  struct stat info{};
  if (marked && mark.entries.empty() && ::lstat(path.c_str(), &info) == 0 && Inode{info.st_dev, info.st_ino} == inode) {
    const auto names = names_in(path);
    if (names.ok() && names->empty()) {
      ::unlinkat(directory.get(), kMarkName, 0);
      if (made) ::rmdir(path.c_str());
    }
  }
}

Result<std::shared_ptr<Folder::Held>> FolderAccess::open(const std::string& path, std::string_view by, Env& env) {
  constexpr int kTries = 100;  // each lost to another process that made or removed the folder at that moment
  bool made = false;
  for (int tried = 0; tried < kTries; ++tried) {
    Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory.get() < 0) {
      const int why = errno;
      const auto info = look(path);
      if (info && S_ISLNK(info->st_mode)) return is_link(path);
      if (info && !S_ISDIR(info->st_mode))
        return fail(Code::Invalid, "{} is a file; a folder is needed here, give another name", path);
      errno = why;
      if (why != ENOENT) return os_error("open", path);
      RETORT_TRY(env.make_directories(path));
      made = true;
      continue;
    }
    struct stat info{};
    if (::fstat(directory.get(), &info) != 0) return os_error("read", path);
    const Inode inode{info.st_dev, info.st_ino};
    if (auto held = find(inode)) return held;

    Fd mark(::openat(directory.get(), kMarkName, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    if (mark.get() < 0 && errno != ENOENT) return os_error("open", path + "/" + kMarkName);
    RETORT_ASSIGN(const std::vector<std::string> names, names_in(path));
    if (mark.get() < 0) {
      if (!names.empty())
        return fail(Code::Invalid,
                    "{} holds {}, and no mark of retort's ({}): it is not retort's to write in; give a new or an "
                    "empty folder",
                    path, names.front(), kMarkName);
      mark =
          Fd(::openat(directory.get(), kMarkName, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
      if (mark.get() < 0 && errno == EEXIST) continue;
      if (mark.get() < 0 && errno == ENOENT) continue;  // removed meanwhile
      if (mark.get() < 0) return os_error("make", path + "/" + kMarkName);
    }
    if (::flock(mark.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return os_error("lock", path + "/" + kMarkName);
      return fail(Code::Unavailable, "another retort works in {}; wait for it or give another --out", path);
    }
    // The one before may have removed the folder while this one waited to look.
    struct stat ours{}, there{};
    if (::fstat(mark.get(), &ours) != 0 || !S_ISREG(ours.st_mode)) return foreign(path + "/" + kMarkName);
    if (::fstatat(directory.get(), kMarkName, &there, AT_SYMLINK_NOFOLLOW) != 0 || there.st_ino != ours.st_ino)
      continue;

    auto held = std::make_shared<Held>(path, env, inode, std::move(directory), std::move(mark));
    RETORT_ASSIGN(const std::string text, read_fd(held->mark_file.get(), path + "/" + kMarkName));
    const size_t whole = text.rfind('\n') + 1;
    if (whole == 0) {  // its maker died before it wrote the first line
      if (!names.empty()) return foreign(path + "/" + names.front());
      if (::ftruncate(held->mark_file.get(), 0) != 0) return os_error("write", path + "/" + kMarkName);
      RETORT_TRY(held->append(header(by)));
      if (::fsync(held->directory.get()) != 0) return os_error("sync", path);
      held->mark.by = by;
      held->marked = true;
      held->made = made;
    } else {
      RETORT_ASSIGN(held->mark, parse_mark(text, path + "/" + kMarkName));
      if (held->mark.by != by)
        return fail(Code::Invalid, "{} was made by `{}`, not by `{}`; give another folder", path, held->mark.by, by);
      RETORT_TRY(check_seals(*held));
      if (whole < text.size() && ::ftruncate(held->mark_file.get(), static_cast<off_t>(whole)) != 0)
        return os_error("write", path + "/" + kMarkName);
      RETORT_TRY(sweep_at(path, env));
    }
    const std::lock_guard lock(mutex());
    all()[inode] = held;
    return held;
  }
  return fail(Code::Unavailable, "another retort makes and removes {}; wait for it or give another --out", path);
}

// Files that were moved or copied with the folder are sealed anew; changed ones are the user's.
Status FolderAccess::check_seals(Held& held) {
  for (auto& [name, seal] : held.mark.entries) {
    const auto info = look(held.at(name));
    if (info && S_ISLNK(info->st_mode)) return is_link(held.at(name));
    if (!info || !seal) continue;
    Seal now = facts_of(*info);
    if (same_facts(now, *seal)) continue;
    if (S_ISREG(info->st_mode) && now.size == seal->size) {
      RETORT_ASSIGN(now.sha256, sha256_file(held.at(name)));
    }
    if (now.sha256 != seal->sha256)
      return fail(Code::Invalid,
                  "{} was changed after retort wrote it; move it elsewhere (it is then made again), or give another "
                  "--out",
                  held.at(name));
    seal = now;
    RETORT_TRY(held.append(line_of(name, seal)));
  }
  return {};
}

Result<Folder> Folder::hold(const std::string& given, std::string_view by, Env& env) {
  const std::string path = without_slash(given);
  if (path.empty()) return fail(Code::Invalid, "the folder to write has no name; give one");
  RETORT_ASSIGN(std::shared_ptr<Held> held, FolderAccess::open(path, by, env));
  if (const auto parent = FolderAccess::find(parent_of(path)); parent && parent != held)
    RETORT_TRY(parent->list(name_of(path)));
  return Folder(std::move(held));
}

const std::string& Folder::path() const { return held_->path; }

namespace {

// The mark of a folder below another; one that is empty needs none: its maker died before it was written.
Result<Mark> mark_below(const std::string& path, bool empty) {
  auto mark = read_mark(path);
  if (!mark.ok() && mark.error().code == Code::NotFound) {
    if (empty) return Mark();
    return foreign(path);
  }
  return mark;
}

// Walks the folder at `path` depth first: each(path below the top, whether it is a folder). Invalid at what is foreign.
Status walk(const std::string& path, const std::string& below,
            const std::function<Status(const std::string&, bool)>& each) {
  RETORT_ASSIGN(const std::vector<std::string> names, names_in(path));
  RETORT_ASSIGN(const Mark mark, mark_below(path, names.empty()));
  for (const std::string& name : names) {
    const std::string at = path + "/" + name, relative = below.empty() ? name : below + "/" + name;
    const auto info = look(at);
    if (!info) continue;
    if (!mark.lists(name) || !(S_ISREG(info->st_mode) || S_ISDIR(info->st_mode))) return foreign(at);
    if (S_ISDIR(info->st_mode)) RETORT_TRY(walk(at, relative, each));
    RETORT_TRY(each(relative, S_ISDIR(info->st_mode)));
  }
  return {};
}

Status nothing(const std::string&, bool) { return {}; }

// Removes a surveyed folder's own entry: the mark last, so that a kill leaves a folder that is known again.
Status remove_emptied(const std::string& path) {
  if (::unlink((path + "/" + kMarkName).c_str()) != 0 && errno != ENOENT) return os_error("remove", path);
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return os_error("remove", path);
  return {};
}

Status remove_below(const std::string& path, Env& env, const std::function<bool(const std::string&)>& keep) {
  RETORT_TRY(walk(path, "", nothing));
  return walk(path, "", [&](const std::string& relative, bool folder) -> Status {
    const std::string at = path + "/" + relative;
    if (keep && keep(relative)) return {};
    if (!folder) return env.remove_all(at);
    RETORT_ASSIGN(const auto left, names_in(at));
    return left.empty() ? remove_emptied(at) : Status();
  });
}

}  // namespace

Status Folder::survey() const { return walk(path(), "", nothing); }

Status Folder::clear(const std::function<bool(const std::string&)>& keep) const {
  RETORT_TRY(survey());
  {
    const std::lock_guard lock(held_->mutex);
    bool sealed = false;
    for (auto& [name, seal] : held_->mark.entries) {
      sealed = sealed || seal.has_value();
      seal.reset();
    }
    if (sealed) RETORT_TRY(held_->append("{\"unsealed\":true}\n"));
  }
  return remove_below(path(), held_->env, keep);
}

Status Folder::seal(const std::vector<std::pair<std::string, std::string>>& files) const {
  std::string lines;
  const std::lock_guard lock(held_->mutex);
  for (const auto& [name, hash] : files) {
    const auto info = look(held_->at(name));
    if (!info) continue;
    Seal seal = facts_of(*info);
    seal.sha256 = hash;
    if (hash.empty()) {
      RETORT_ASSIGN(seal.sha256, sha256_file(held_->at(name)));
    }
    lines += line_of(name, seal);
    held_->mark.entries[name] = std::move(seal);
  }
  return lines.empty() ? Status() : held_->append(lines);
}

Result<std::string> Folder::set_aside() {
  for (int number = 1;; ++number) {
    std::string aside = fmt::format("{}.before-{}", path(), number);
    if (look(aside)) continue;
    RETORT_TRY(held_->env.rename(path(), aside));
    held_.reset();
    return aside;
  }
}

Result<Mark> read_mark(const std::string& path) {
  const std::string file = path + "/" + kMarkName;
  const Fd fd(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() < 0) return os_error("read", file);
  RETORT_ASSIGN(const std::string text, read_fd(fd.get(), file));
  if (text.find('\n') == std::string::npos) return fail(Code::NotFound, "{} says nothing yet", file);
  return parse_mark(text, file);
}

bool as_sealed(const std::string& file, const Seal& seal) {
  const auto info = look(file);
  return info && S_ISREG(info->st_mode) && same_facts(facts_of(*info), seal);
}

Result<bool> claim_name(const std::string& path) {
  const auto folder = FolderAccess::find(parent_of(path));
  if (!folder) return false;
  const std::string name = name_of(path);
  const auto info = look(path);
  if (info && S_ISLNK(info->st_mode)) return is_link(path);
  const std::lock_guard lock(folder->mutex);
  const auto entry = folder->mark.entries.find(name);
  if (entry != folder->mark.entries.end() && !entry->second) return true;
  if (entry == folder->mark.entries.end() && info && !folder->mark.lists(name)) return foreign(path);
  RETORT_TRY(folder->append(line_of(name, {})));
  folder->mark.entries[name].reset();
  return true;
}

Status remove_made(const std::string& path, Env& env) {
  const auto info = look(path);
  if (!info) return {};
  if (!S_ISDIR(info->st_mode)) {
    const auto mark = read_mark(parent_of(path));
    if (mark.ok() && (!mark->lists(name_of(path)) || !S_ISREG(info->st_mode))) return foreign(path);
    return env.remove_all(path);
  }
  const auto mark = read_mark(path);
  Folder folder;
  if (mark.ok()) {
    RETORT_ASSIGN(folder, Folder::hold(path, mark->by, env));
  }
  RETORT_TRY(remove_below(path, env, nullptr));
  return remove_emptied(path);
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace retort
