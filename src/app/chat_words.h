// What a person may type in a chat beside questions: the commands with a slash, and questions of several lines. Holds
// the conversation and the sampling that the commands change.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/chat_options.h"
#include "base/env.h"
#include "model/generator.h"

namespace retort::app {

// A question of one line, or of several: between lines that begin and end with """, or each but the last with a
// backslash at its end.
class Typed {
 public:
  // Takes a line; true where the question goes on.
  bool more(std::string_view line);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  bool quoted_ = false, begun_ = false;
};

class Chat {
 public:
  Chat(const ChatOptions& options, model::Sampling sampling);

  struct Did {
    std::string said;  // for the person
    bool ends = false;
  };
  // `line` begins with a slash.
  Did command(std::string_view line, Env& env);

  // The request with this question, which stays in the conversation until keep() or drop().
  model::Request ask(std::string question);
  void keep(std::string answer);
  void drop() { history_.pop_back(); }
  // Messages beside the system's.
  size_t turns() const;
  int max_tokens() const { return sampling_.max_tokens; }
  // Whether the person set it, on the command line or here.
  bool says_temperature() const { return says_temperature_; }
  bool says_top_p() const { return says_top_p_; }

 private:
  std::string set(std::string_view words);
  std::string save(const std::string& path, Env& env) const;
  std::string load(const std::string& path, Env& env);
  std::string system_;
  std::vector<Message> history_;  // without the system message
  model::Sampling sampling_;
  bool says_temperature_ = false, says_top_p_ = false;
};

// A line for each command, for /help and --help.
std::string chat_help();

}  // namespace retort::app
