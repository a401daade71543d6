// Redactor: takes keys out of text that comes from outside. A server may echo the headers it was sent, in an error, in
// an answer, in any spelling; what passes through here holds none of them, so no message, record or terminal can show
// one. Non-goal: words shorter than eight characters (`EMPTY`, as local servers want it): those are no secrets.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace retort::wire {

class Redactor {
 public:
  static constexpr std::string_view kMark = "[key]";
  static constexpr size_t kShortest = 8;

  // From here on `secret` is taken out: as it is, with any of its characters written as %XX, \/, \uXXXX, \xXX (whatever
  // the run of backslashes) or &#N;, and in base64 of either alphabet at any place of a longer text ("Bearer ...").
  void add(const Secret& secret);
  bool empty() const { return patterns_.empty(); }
  // Puts kMark in place of each secret in `text`; true where it held one.
  bool clean(std::string& text) const;

  // The same for text that comes in pieces: what may be the beginning of a secret is held back.
  class Stream {
   public:
    explicit Stream(const Redactor& redactor) : redactor_(&redactor) {}
    std::string feed(std::string_view piece);
    std::string finish();  // what was held back

   private:
    const Redactor* redactor_;
    std::string held_;
  };

 private:
  // Cleans `text` into `out`. Where `more` may follow, returns what was held back.
  std::string scan(std::string_view text, bool more, std::string& out, bool& found) const;

  std::vector<std::string> patterns_;
  std::array<bool, 256> first_{};  // bytes that a secret may begin with
};

}  // namespace retort::wire
