// Cuts a chat template into text, and the tokens of its tags, with trim_blocks and lstrip_blocks as transformers sets
// them and Jinja's rules for `-` and `+` signs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace retort::model::jinja {

struct Token {
  enum class Kind {
    Text,
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End
  };
  Kind kind = Kind::End;
  std::string text;  // the text, name, operator, digits, or a string's value
  int line = 1;
};

// Raises Failure (jinja_value.h) with the line.
std::vector<Token> tokenize(std::string_view source);

}  // namespace retort::model::jinja
