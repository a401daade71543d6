// A string that must not be printed (an API key). It has no formatter and no stream operator, so a message that tries
// to show it does not compile; only reveal() gives the text, and only the code that sends it calls that.
#pragma once

#include <string>
#include <utility>

namespace retort {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  std::string text_;
};

}  // namespace retort
