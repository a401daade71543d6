#include "train/checkpoint.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/hash.h"
#include "base/mapped_file.h"

namespace retort::train {
namespace {

constexpr std::string_view kMagic = "RTRTCKPT";
constexpr size_t kFixed = 8 + 4 + 4 + 8 + 8;
constexpr size_t kDigest = 64;
constexpr size_t kPiece = size_t{16} << 20;

template <class T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}
template <class T>
T get(std::string_view bytes, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return value;
}

std::string_view bytes_of(std::span<const float> floats) {
  return {reinterpret_cast<const char*>(floats.data()), floats.size_bytes()};
}

}  // namespace

Json encode(const LogRow& r) {
  return {{"step", r.step},     {"loss", r.loss},       {"lr", r.lr},       {"grad_norm", r.grad_norm},
          {"tokens", r.tokens}, {"targets", r.targets}, {"flops", r.flops}, {"seconds", r.seconds}};
}

Status decode(const Json& json, LogRow& out) {
  RETORT_ASSIGN(out.step, need_int(json, "step"));
  RETORT_ASSIGN(out.loss, get_double(json, "loss", 0));
  RETORT_ASSIGN(out.lr, get_double(json, "lr", 0));
  RETORT_ASSIGN(out.grad_norm, get_double(json, "grad_norm", 0));
  RETORT_ASSIGN(out.tokens, get_int(json, "tokens", 0));
  RETORT_ASSIGN(out.targets, get_int(json, "targets", 0));
  RETORT_ASSIGN(out.flops, get_double(json, "flops", 0));
  RETORT_ASSIGN(out.seconds, get_double(json, "seconds", 0));
  return {};
}

Json encode(const std::vector<Threads>& threads) {
  Json rows = Json::array();
  for (const Threads& t : threads) rows.push_back({{"after_step", t.step}, {"threads", t.count}});
  return rows;
}

Status decode(const Json& json, std::vector<Threads>& out) {
  const Json* rows = find(json, "threads");
  if (rows == nullptr || !rows->is_array()) return fail(Code::Corrupt, "its header has no threads");
  for (const Json& row : *rows) {
    Threads& t = out.emplace_back();
    RETORT_ASSIGN(t.step, need_int(row, "after_step"));
    RETORT_ASSIGN(t.count, need_int(row, "threads"));
  }
  return {};
}

Status write_checkpoint(const std::string& path, const Journal& journal, const State& state, Env& env) {
  Json log = Json::array();
  for (const LogRow& row : journal.log) log.push_back(encode(row));
  const std::string header = to_text(
      Json{{"fingerprint", journal.fingerprint}, {"threads", encode(journal.threads)}, {"log", std::move(log)}});
  std::string fixed(kMagic);
  put<uint32_t>(fixed, kCheckpointVersion);
  put<uint32_t>(fixed, 0);
  put<uint64_t>(fixed, header.size());
  put<uint64_t>(fixed, state.weights.size());

  const std::string temporary = path + ".tmp";
  RETORT_ASSIGN(auto file, env.append_file(temporary, true));
  Sha256 hash;
  for (const std::string_view part : {std::string_view(fixed), std::string_view(header), bytes_of(state.weights),
                                      bytes_of(state.first), bytes_of(state.second)})
    for (size_t at = 0; at < part.size(); at += kPiece) {
      const std::string_view piece = part.substr(at, kPiece);
      hash.update(piece);
      RETORT_TRY(file->append(piece));
    }
  RETORT_TRY(file->append(hash.finish()));
  RETORT_TRY(file->sync());
  file.reset();
  return env.rename(temporary, path);
}

Result<Journal> read_checkpoint(const std::string& path, const std::string& fingerprint, const State& state) {
  RETORT_ASSIGN(const auto file, MappedFile::open(path));
  const std::string_view bytes = file->bytes();
  const auto corrupt = [&](std::string_view what) { return fail(Code::Corrupt, "checkpoint {}: {}", path, what); };
  if (bytes.size() < kFixed + kDigest || !bytes.starts_with(kMagic)) return corrupt("it is cut short or no checkpoint");
  if (const auto version = get<uint32_t>(bytes, 8); version != kCheckpointVersion)
    return fail(Code::Invalid,
                "checkpoint {} is of version {}, this program reads and writes {}; the program that wrote it can go on "
                "from it",
                path, version, kCheckpointVersion);
  const auto header_size = get<uint64_t>(bytes, 16), floats = get<uint64_t>(bytes, 24);
  const uint64_t body = bytes.size() - kFixed - kDigest;
  if (header_size > body || floats > body / 12 || header_size + floats * 12 != body)
    return corrupt("its sizes contradict its length");
  if (sha256(bytes.substr(0, bytes.size() - kDigest)) != bytes.substr(bytes.size() - kDigest))
    return corrupt("its checksum does not match");
  auto header = parse_json(bytes.substr(kFixed, header_size));
  if (!header.ok()) return corrupt(header.error().message);

  Journal journal;
  auto belongs_to = need_string(*header, "fingerprint");
  if (!belongs_to.ok()) return corrupt(belongs_to.error().message);
  journal.fingerprint = std::move(*belongs_to);
  if (journal.fingerprint != fingerprint)
    return fail(Code::Invalid, "checkpoint {} belongs to a run with other options, examples or base", path);
  if (floats != state.weights.size()) return corrupt("it holds another number of weights");
  if (const Status read = decode(*header, journal.threads); !read.ok()) return corrupt(read.error().message);
  const Json* log = find(*header, "log");
  if (log == nullptr || !log->is_array()) return corrupt("its header has no log");
  for (const Json& row : *log) {
    const Status read = decode(row, journal.log.emplace_back());
    if (!read.ok()) return corrupt(read.error().message);
  }
  const char* from = bytes.data() + kFixed + header_size;
  for (const std::span<float> into : {state.weights, state.first, state.second}) {
    std::memcpy(into.data(), from, into.size_bytes());
    from += into.size_bytes();
  }
  return journal;
}

std::string checkpoint_name(int64_t step) { return fmt::format("checkpoint-{:08d}.bin", step); }

std::optional<int64_t> checkpoint_step(const std::string& name) {
  constexpr std::string_view kPrefix = "checkpoint-", kSuffix = ".bin";
  if (name.size() != kPrefix.size() + 8 + kSuffix.size() || !name.starts_with(kPrefix) || !name.ends_with(kSuffix))
    return {};
  int64_t step = 0;
  for (const char c : name.substr(kPrefix.size(), 8)) {
    if (c < '0' || c > '9') return {};
    step = step * 10 + (c - '0');
  }
  return step;
}

}  // namespace retort::train
