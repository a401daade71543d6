#include "record/stream.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/folder.h"
#include "record/parquet_lines.h"

namespace retort {
namespace {

constexpr size_t kChunkBytes = 1u << 18;
constexpr int kZstdLevel = 6;  // records are written once: ratio before speed, within what a laptop takes

// Bytes of a file, unpacked where it is zstd.
class ByteReader {
 public:
  ByteReader(int fd, std::string path, bool packed) : fd_(fd), path_(std::move(path)) {
    if (packed) stream_ = ZSTD_createDStream();
  }
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;
  ~ByteReader() {
    ::close(fd_);
    ZSTD_freeDStream(stream_);
  }

  // Appends some bytes to `out`; returns false at the end.
  Result<bool> read(std::string& out) {
    if (stream_ == nullptr) {
      const size_t had = out.size();
      out.resize(had + kChunkBytes);
      RETORT_ASSIGN(const size_t n, read_raw(out.data() + had, kChunkBytes));
      out.resize(had + n);
      return n > 0;
    }
    for (;;) {
      if (input_.pos == input_.size) {
        packed_.resize(kChunkBytes);
        RETORT_ASSIGN(const size_t n, read_raw(packed_.data(), packed_.size()));
        if (n == 0) {
          if (frame_left_ != 0)
            return fail(Code::Corrupt, "{} ends inside a zstd frame: it was cut short; fetch or write it again", path_);
          return false;
        }
        input_ = {packed_.data(), n, 0};
      }
      const size_t had = out.size();
      out.resize(had + kChunkBytes);
      ZSTD_outBuffer output{out.data() + had, kChunkBytes, 0};
      frame_left_ = ZSTD_decompressStream(stream_, &output, &input_);
      out.resize(had + output.pos);
      if (ZSTD_isError(frame_left_) != 0)
        return fail(Code::Corrupt, "{} is not valid zstd: {}; fetch or write it again", path_,
                    ZSTD_getErrorName(frame_left_));
      if (output.pos > 0) return true;
    }
  }

 private:
  Result<size_t> read_raw(char* at, size_t size) {
    for (;;) {
      const ssize_t n = ::read(fd_, at, size);
      if (n >= 0) return static_cast<size_t>(n);
      if (errno != EINTR) return fail(Code::Io, "cannot read {}: {}", path_, std::strerror(errno));
    }
  }

  int fd_;
  std::string path_;
  ZSTD_DStream* stream_ = nullptr;
  std::string packed_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  size_t frame_left_ = 0;  // 0: between frames
};

class LineSource final : public Source<std::string> {
 public:
  LineSource(int fd, const std::string& path, bool packed) : bytes_(fd, path, packed), path_(path) {}

  Result<std::optional<std::string>> next() override {
    size_t searched = at_;
    for (;;) {
      const size_t end = buffer_.find('\n', searched);
      const size_t length = (end == std::string::npos ? buffer_.size() : end) - at_;
      if (length > kMaxLineBytes)
        return fail(Code::Invalid, "{} line {} is longer than {} bytes; is it JSON Lines?", path_, number_ + 1,
                    kMaxLineBytes);
      if (end != std::string::npos) return take(end, end + 1);
      if (done_) {
        if (at_ == buffer_.size()) return std::optional<std::string>();
        return take(buffer_.size(), buffer_.size());
      }
      searched = buffer_.size() - at_;
      buffer_.erase(0, at_);
      at_ = 0;
      RETORT_ASSIGN(const bool more, bytes_.read(buffer_));
      done_ = !more;
    }
  }

 private:
  std::optional<std::string> take(size_t end, size_t following) {
    size_t begin = at_;
    if (number_ == 0 && buffer_.compare(begin, 3, "\xEF\xBB\xBF") == 0) begin += 3;  // byte order mark
    at_ = following;
    ++number_;
    return buffer_.substr(begin, end - begin);
  }

  ByteReader bytes_;
  std::string path_;
  std::string buffer_;
  size_t at_ = 0;
  int64_t number_ = 0;
  bool done_ = false;
};

// Writes to `path`.part; a killed run leaves that file, and the next run makes it anew.
class LineSink final : public Sink<std::string> {
 public:
  LineSink(std::unique_ptr<AppendFile> file, std::string path, bool packed, Env& env)
      : file_(std::move(file)), path_(std::move(path)), env_(env) {
    if (packed) {
      stream_ = ZSTD_createCCtx();
      ZSTD_CCtx_setParameter(stream_, ZSTD_c_compressionLevel, kZstdLevel);
      ZSTD_CCtx_setParameter(stream_, ZSTD_c_checksumFlag, 1);
    }
  }
  LineSink(const LineSink&) = delete;
  LineSink& operator=(const LineSink&) = delete;
  ~LineSink() override {
    ZSTD_freeCCtx(stream_);
    file_.reset();
    if (!closed_) (void)remove_made(path_ + ".part", env_);
  }

  Status put(const std::string& line) override {
    RETORT_TRY(failed_);
    if (closed_) return fail(Code::Internal, "{} is closed already", path_);
    if (line.find('\n') != std::string::npos) return fail(Code::Internal, "a line for {} holds a line break", path_);
    if (line.size() > kMaxLineBytes)
      return fail(Code::Limit, "a record of {} bytes for {} is over the limit of {} bytes", line.size(), path_,
                  kMaxLineBytes);
    buffer_ += line;
    buffer_ += '\n';
    if (buffer_.size() >= kChunkBytes) failed_ = flush(false);
    return failed_;
  }

  Status close() override {
    RETORT_TRY(failed_);
    if (closed_) return {};
    failed_ = finish();
    closed_ = failed_.ok();
    return failed_;
  }

 private:
  Status finish() {
    RETORT_TRY(flush(true));
    RETORT_TRY(file_->sync());
    file_.reset();
    return env_.rename(path_ + ".part", path_);
  }

  Status flush(bool last) {
    if (stream_ == nullptr) {
      RETORT_TRY(file_->append(buffer_));
      buffer_.clear();
      return {};
    }
    ZSTD_inBuffer input{buffer_.data(), buffer_.size(), 0};
    packed_.resize(ZSTD_CStreamOutSize());
    for (;;) {
      ZSTD_outBuffer output{packed_.data(), packed_.size(), 0};
      const size_t left = ZSTD_compressStream2(stream_, &output, &input, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left) != 0)
        return fail(Code::Internal, "zstd cannot pack {}: {}", path_, ZSTD_getErrorName(left));
      RETORT_TRY(file_->append({packed_.data(), output.pos}));
      if (last ? left == 0 : input.pos == input.size) break;
    }
    buffer_.clear();
    return {};
  }

  std::unique_ptr<AppendFile> file_;
  std::string path_;
  Env& env_;
  ZSTD_CCtx* stream_ = nullptr;
  std::string buffer_, packed_;
  Status failed_;
  bool closed_ = false;
};

}  // namespace

Result<std::unique_ptr<Source<std::string>>> open_lines(const std::string& path) {
  if (path.ends_with(".parquet")) return open_parquet_lines(path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int why = errno;
    return fail(why == ENOENT || why == ENOTDIR ? Code::NotFound : Code::Io, "cannot read {}: {}", path,
                std::strerror(why));
  }
  struct stat info{};
  if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    ::close(fd);
    return fail(Code::Invalid, "{} is a directory; a file of records is needed here", path);
  }
  return std::unique_ptr<Source<std::string>>(std::make_unique<LineSource>(fd, path, path.ends_with(".zst")));
}

Result<std::unique_ptr<Sink<std::string>>> create_lines(const std::string& path, Env& env) {
  RETORT_ASSIGN(auto file, env.append_file(path + ".part", true));
  return std::unique_ptr<Sink<std::string>>(
      std::make_unique<LineSink>(std::move(file), path, path.ends_with(".zst"), env));
}

}  // namespace retort
