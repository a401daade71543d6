// The syntax tree of a chat template, and the parser that makes it. Nodes are plain data; the interpreter walks them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja_value.h"

namespace retort::model::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Call {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;  // *args, **kwargs
};

struct Expr {
  enum class Op {
    Constant,
    Name,
    List,
    Tuple,
    Dict,
    Attribute,
    Item,
    Slice,
    Call,
    Filter,
    Test,
    Not,
    And,
    Or,
    Condition,
    Negate,
    Plus,
    Compare,
    Concat,
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power
  } op = Op::Constant;
  int line = 1;
  std::string name;  // Name, Attribute, Filter, Test; comparison operators in `names`
  Value constant;
  std::vector<ExprPtr> parts;      // operands in order; null where absent (Slice, Condition without else, block Filter)
  std::vector<std::string> names;  // Compare: one operator for each operand after the first
  Call call;                       // Call, Filter, Test
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Stmt {
  enum class Op {
    Text,
    Print,
    If,
    For,
    Set,
    SetBlock,
    Macro,
    CallBlock,
    FilterBlock,
    With,
    Scope,
    Break,
    Continue
  } op = Op::Text;
  int line = 1;
  std::string text;  // Text; Macro's name
  ExprPtr target;    // For, Set, SetBlock: a Name, Tuple or namespace Attribute
  ExprPtr value;     // Print, For's iterable, Set, CallBlock's call, FilterBlock and SetBlock: filters over nullptr
  ExprPtr filter;    // For's `if`
  std::vector<std::pair<ExprPtr, Block>> branches;                         // If: condition (null for else) and body
  std::vector<std::pair<std::string, ExprPtr>> parameters;                 // Macro, CallBlock: name and default
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;                       // With
  Block body, otherwise;                                                   // For's else
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;  // Macro, CallBlock: names in the body
};

// Raises Failure with the line.
Block parse_template(std::string_view source);

}  // namespace retort::model::jinja
