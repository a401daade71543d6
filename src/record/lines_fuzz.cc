// Files of lines: any bytes as a plain and as a packed file. A plain file gives its lines; the same text packed gives
// the same; a packed file that is none is refused.
#include <zstd.h>

#include "base/fuzz/target.h"
#include "base/text.h"
#include "record/stream.h"

namespace {

constexpr size_t kMostLines = 1000;  // of a packed file, which may hold much more than its own size

struct Read {
  std::vector<std::string> lines;
  bool ok = true;
  bool operator==(const Read&) const = default;
};

Read read(const std::string& path) {
  using namespace retort;
  Read out;
  auto source = open_lines(path);
  RETORT_CHECK(source.ok());
  while (out.lines.size() < kMostLines) {
    auto line = (*source)->next();
    if (!line.ok()) {
      RETORT_CHECK(line.error().message.find(path) != std::string::npos);
      out.ok = false;
      break;
    }
    if (!*line) break;
    out.lines.push_back(std::move(**line));
  }
  return out;
}

std::string packed(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  const std::string lines = "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\r\nlast";
  return {lines, "\xEF\xBB\xBF" + lines + "\n", packed(lines), packed(lines) + packed("more\n"),
          packed(std::string(5000, 'x'))};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  static const fuzz::Folder folder;
  const std::string_view bytes = fuzz::text_of(data, size);
  const Read plain = read(folder.put("lines.jsonl", bytes));
  RETORT_CHECK(plain.ok);
  std::vector<std::string> expected;
  for (const std::string_view line : split(bytes.substr(bytes.starts_with("\xEF\xBB\xBF") ? 3 : 0), '\n'))
    expected.emplace_back(line);
  if (expected.back().empty() && !bytes.starts_with("\xEF\xBB\xBF")) expected.pop_back();
  if (expected.size() <= kMostLines && !bytes.starts_with("\xEF\xBB\xBF")) RETORT_CHECK(plain.lines == expected);
  RETORT_CHECK(read(folder.put("same.jsonl.zst", packed(bytes))) == plain);
  read(folder.put("raw.jsonl.zst", bytes));
  return 0;
}
