// Permission records: nothing but a complete one that names distillation, its endpoint and a day passes, and an
// endpoint matches itself.
#include "collect/permission.h"

#include "base/fuzz/target.h"

namespace {

constexpr int64_t kNow = 1'770'000'000'000'000;  // 2026-02-02

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {
      "name: T\nendpoint: http://127.0.0.1:*/v1\nlicence: Apache-2.0\nterms: \"\"\nclause: you may\nevidence: "
      "https://e.org\nchecked_by: me\ndate: 2026-01-31\nallowed_uses: [distillation]\nexpires: never\n",
      "name: D\nendpoint: import\nterms: v1\nclause: c\nevidence: e\nchecked_by: b\ndate: '2026-01-31'\nallowed_uses: "
      "distillation, audit\nexpires: 2026-12-31\n",
      "https://[::1]:8080/v1/"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  const bool dots = text.find("..") != std::string_view::npos || text.find("/.") != std::string_view::npos;
  if (!dots && text.find_first_of("%\\") == std::string_view::npos) RETORT_CHECK(collect::endpoint_matches(text, text));
  const auto permission = collect::parse_permission(text);
  if (!permission.ok()) {
    fuzz::check_refusal(permission.error());
    return 0;
  }
  for (const std::string endpoint : {"http://127.0.0.1:8080/v1", "import"}) {
    const Status status = collect::check_permission(*permission, endpoint, kNow);
    if (!status.ok()) {
      fuzz::check_refusal(status.error());
      continue;
    }
    RETORT_CHECK(std::find(permission->allowed_uses.begin(), permission->allowed_uses.end(), "distillation") !=
                 permission->allowed_uses.end());
    RETORT_CHECK(permission->date <= "2026-02-02" && permission->hash == sha256(text));
    RETORT_CHECK(collect::endpoint_matches(permission->endpoint, endpoint));
  }
  return 0;
}
