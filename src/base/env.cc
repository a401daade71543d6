#include "base/env.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

Error os_error(std::string_view what, const std::string& path, int error_number) {
  const Code code = error_number == ENOENT || error_number == ENOTDIR ? Code::NotFound : Code::Io;
  const char* advice =
      error_number == ENOSPC || error_number == EDQUOT
          ? "; free space on that disk and run again, finished work is kept"
      : error_number == EFBIG ? "; raise the limit on file sizes (ulimit -f) and run again, finished work is kept"
      : error_number == EACCES || error_number == EPERM || error_number == EROFS ? "; check the permissions"
                                                                                 : "";
  return fail(code, "cannot {} {}: {}{}", what, path, std::strerror(error_number), advice);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return os_error("write", path, errno);
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status sync_parent(const std::string& path) {
  std::string parent = fs::path(path).parent_path().string();
  if (parent.empty()) parent = ".";
  const Descriptor fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return os_error("open", parent, errno);
  if (::fsync(fd.get()) != 0) return os_error("sync", parent, errno);
  return {};
}

class SystemAppendFile final : public AppendFile {
 public:
  SystemAppendFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Status append(std::string_view bytes) override { return write_all(fd_.get(), bytes, path_); }
  Status sync() override {
    if (::fdatasync(fd_.get()) != 0) return os_error("sync", path_, errno);
    return {};
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class SystemEnv final : public Env {
 public:
  int64_t wall_us() override {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  int64_t monotonic_us() override {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  void sleep_us(int64_t duration_us) override { std::this_thread::sleep_for(std::chrono::microseconds(duration_us)); }
  void random_bytes(std::span<uint8_t> out) override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t n = ::getrandom(out.data() + done, out.size() - done, 0);
      if (n > 0) done += static_cast<size_t>(n);
    }
  }

  Result<std::string> read_file(const std::string& path) override {
    int64_t size = 0;
    RETORT_ASSIGN(const int opened, open_regular(path, size));
    const Descriptor fd(opened);
    std::string bytes;
    try {
      bytes.reserve(static_cast<size_t>(size));
    } catch (const std::exception&) {
      return fail(Code::Limit, "{} has {} bytes, more than fit into memory", path, size);
    }
    char buffer[1 << 16];
    for (;;) {
      const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n < 0) {
        if (errno == EINTR) continue;
        return os_error("read", path, errno);
      }
      if (n == 0) return bytes;
      bytes.append(buffer, static_cast<size_t>(n));
    }
  }

  Status write_file(const std::string& path, std::string_view bytes) override {
    RETORT_TRY(claim_name(path));
    uint8_t salt[6];
    random_bytes(salt);
    std::string temporary = path + ".tmp-";
    for (const uint8_t b : salt) temporary += fmt::format("{:02x}", b);
    auto written = [&]() -> Status {
      const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
      if (fd.get() < 0) return os_error("write", path, errno);
      RETORT_TRY(write_all(fd.get(), bytes, path));
      if (::fsync(fd.get()) != 0) return os_error("sync", path, errno);
      return {};
    }();
    if (!written.ok()) {
      ::unlink(temporary.c_str());
      return written;
    }
    return rename(temporary, path);
  }

  Result<std::unique_ptr<AppendFile>> append_file(const std::string& path, bool truncate) override {
    RETORT_ASSIGN(const bool held, claim_name(path));
    // In a held folder a file that starts anew is a new one: through a link nothing of another's is emptied.
    if (held && truncate) RETORT_TRY(remove_all(path));
    const int start = !truncate ? 0 : held ? O_EXCL : O_TRUNC;
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | start | (held ? O_NOFOLLOW : 0), 0644);
    if (fd < 0) return os_error("open", path, errno);
    return std::unique_ptr<AppendFile>(std::make_unique<SystemAppendFile>(fd, path));
  }

  bool exists(const std::string& path) override {
    std::error_code ec;
    return fs::exists(path, ec);
  }
  bool is_directory(const std::string& path) override {
    std::error_code ec;
    return fs::is_directory(path, ec);
  }
  Result<int64_t> file_size(const std::string& path) override {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return os_error("read", path, errno);
    return static_cast<int64_t>(info.st_size);
  }
  Status make_directories(const std::string& path) override {
    std::error_code ec;
    if (fs::is_directory(path, ec)) return {};
    if (const fs::path parent = fs::path(without_slash(path)).parent_path(); !parent.empty())
      RETORT_TRY(make_directories(parent.string()));
    RETORT_TRY(claim_name(without_slash(path)));
    fs::create_directory(path, ec);
    if (ec) return os_error("make directory", path, ec.value());
    return {};
  }
  Result<std::vector<std::string>> list_directory(const std::string& path) override {
    std::error_code ec;
    std::vector<std::string> names;
    fs::directory_iterator it(path, ec);
    if (ec) return os_error("list", path, ec.value());
    for (; it != fs::directory_iterator(); it.increment(ec)) {
      names.push_back(it->path().filename().string());
      if (ec) return os_error("list", path, ec.value());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  Status rename(const std::string& from, const std::string& to) override {
    RETORT_TRY(claim_name(to));
    if (::rename(from.c_str(), to.c_str()) != 0) return os_error("write", to, errno);
    return sync_parent(to);
  }
  Status remove_all(const std::string& path) override {
    std::error_code ec;
    fs::remove_all(path, ec);
    if (ec) return os_error("remove", path, ec.value());
    return {};
  }
};

}  // namespace

Status Env::exchange(const std::string& a, const std::string& b) {
  RETORT_TRY(claim_name(b));
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return sync_parent(b);
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return os_error("write", b, errno);
  const std::string aside = a + "-away";
  RETORT_TRY(rename(b, aside));
  if (Status moved = rename(a, b); !moved.ok()) {
    (void)rename(aside, b);
    return moved;
  }
  return rename(aside, a);
}

namespace {

std::string format_utc(int64_t wall_us, const char* format) {
  const std::time_t seconds = static_cast<std::time_t>(wall_us / 1000000 - (wall_us % 1000000 < 0 ? 1 : 0));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  return std::string(text, std::strftime(text, sizeof text, format, &parts));
}

}  // namespace

Result<int> open_regular(const std::string& path, int64_t& size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  // A socket cannot be opened at all.
  if (fd < 0 && errno == ENXIO) return fail(Code::Invalid, "{} is a socket or a device; a file is needed here", path);
  if (fd < 0) return os_error("read", path, errno);
  struct stat info{};
  if (::fstat(fd, &info) != 0) {
    const int error_number = errno;
    ::close(fd);
    return os_error("read", path, error_number);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(Code::Invalid, "{} is {}; a file is needed here", path,
                S_ISDIR(info.st_mode)    ? "a directory"
                : S_ISFIFO(info.st_mode) ? "a pipe"
                                         : "a device");
  }
  size = static_cast<int64_t>(info.st_size);
  return fd;
}

Result<std::string> read_file(Env& env, const std::string& path, int64_t limit) {
  const auto size = env.file_size(path);
  if (size.ok() && *size > limit)
    return fail(Code::Limit, "{} has {} bytes, more than the {} that such a file may have", path, *size, limit);
  return env.read_file(path);
}

Env& system_env() {
  static SystemEnv env;
  return env;
}

std::string utc_time(int64_t wall_us) { return format_utc(wall_us, "%Y-%m-%dT%H:%M:%SZ"); }
std::string utc_date(int64_t wall_us) { return format_utc(wall_us, "%Y-%m-%d"); }

}  // namespace retort
