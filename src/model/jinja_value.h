// Values of a chat template: Python's None, bool, int, float, str, list, tuple, dict and Jinja's Undefined, with
// Python's rules for truth, equality, order and printing. Immutable but for namespaces, as in Jinja's immutable
// sandbox. Inside the interpreter errors travel as the exception Failure; chat_template.cc turns it into an Error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "model/chat_template.h"

namespace retort::model::jinja {

struct Failure {
  Error error;
};
template <class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{fail(Code::Invalid, format, std::forward<Args>(args)...)};
}
template <class... Args>
[[noreturn]] void raise_limit(fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{fail(Code::Limit, format, std::forward<Args>(args)...)};
}

// What a render may still do. Whatever loops or makes something pays here first, so that a template of any model ends:
// a statement, an expression and an item of a list are a step, a text is one for each 16 bytes that are looked at;
// texts, lists and dicts made are bytes, which are never given back. It is found through the thread, not through a
// parameter: values are made and walked in a hundred places, and the one that forgot to pass it on would be the way
// out.
class Budget {
 public:
  // `input_nodes` and `input_bytes`: the size of the conversation, which raises the limits. Ends with the object.
  Budget(const RenderOptions& options, int64_t input_nodes, int64_t input_bytes);
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // The budget of the render that this thread is in; nullptr while a template is parsed.
  static Budget* current();

  void step(int64_t steps) {
    use_.steps += steps;
    if (use_.steps >= look_) look();
  }
  void take(size_t bytes) {
    use_.bytes += bytes;
    if (use_.bytes > bytes_) too_large();
  }
  // One text of `size` bytes.
  void text(size_t size) {
    if (size > output_bytes_) too_long();
  }
  const RenderUse& use() const { return use_; }

 private:
  void look();
  [[noreturn]] void too_large() const;
  [[noreturn]] void too_long() const;
  RenderUse use_;
  int64_t steps_, look_ = 0;
  size_t bytes_, output_bytes_;
  const Cancel* cancel_;
  Budget* outer_;
};

// Pays for `steps`, for looking at `bytes` of text, for making `bytes`.
void step(int64_t steps = 1);
void scan(size_t bytes);
void take(size_t bytes);

// A text that grows, paid byte by byte before it does.
class Text {
 public:
  Text() : budget_(Budget::current()) {}
  Text& operator+=(std::string_view more) {
    if (budget_ != nullptr) {
      budget_->text(out_.size() + more.size());
      budget_->take(more.size());
    }
    out_ += more;
    return *this;
  }
  Text& operator+=(char c) { return *this += std::string_view(&c, 1); }
  void repeat(std::string_view unit, int64_t times);
  bool empty() const { return out_.empty(); }
  std::string done() { return std::move(out_); }

 private:
  Budget* budget_;
  std::string out_;
};

class Value;
class Interpreter;
struct Arguments;

enum class Kind : uint8_t { Undefined, None, Bool, Int, Float, String, List, Dict, Namespace, Callable };
// What a Python programmer would call the sequence. Views and generators can be iterated, not indexed.
enum class ListKind : uint8_t { List, Tuple, Range, View, Generator };

struct ListData {
  std::vector<Value> items;
  ListKind kind = ListKind::List;
  int depth = 1;
};
struct DictData {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
};
struct CallableData {
  std::string name;
  std::function<Value(Interpreter&, Arguments&)> call;
};

class Value {
 public:
  Value() = default;  // Undefined
  // The next six pay for what they make.
  static Value undefined(std::string why);
  static Value none();
  static Value boolean(bool b);
  static Value integer(int64_t i);
  static Value real(double d);
  static Value string(std::string s);
  // MarkupSafe's Markup: a str that says it is HTML already, as the filters `safe` and `escape` make it. What is joined
  // to it with + gets escaped, auto-escaping or not, and templates in use depend on that.
  static Value markup(std::string s);
  static Value list(std::vector<Value> items, ListKind kind = ListKind::List);
  static Value dict(std::vector<std::pair<Value, Value>> items);
  static Value name_space(std::shared_ptr<DictData> data);
  static Value callable(std::string name, std::function<Value(Interpreter&, Arguments&)> call);
  static Value from_json(const Json& json);

  Kind kind() const { return kind_; }
  bool is(Kind k) const { return kind_ == k; }
  bool is_number() const { return kind_ == Kind::Bool || kind_ == Kind::Int || kind_ == Kind::Float; }
  bool is_markup() const { return kind_ == Kind::String && int_ == 1; }
  bool is_whole() const { return kind_ == Kind::Bool || kind_ == Kind::Int; }
  // Preconditions of the next: the kind that the name says.
  int64_t as_int() const { return int_; }  // Bool, Int
  double as_double() const { return kind_ == Kind::Float ? real_ : static_cast<double>(int_); }
  const std::string& as_string() const { return *static_cast<const std::string*>(data_.get()); }
  const ListData& as_list() const { return *static_cast<const ListData*>(data_.get()); }
  const DictData& as_dict() const { return *static_cast<const DictData*>(data_.get()); }  // Dict, Namespace
  DictData& as_namespace() const { return *static_cast<DictData*>(data_.get()); }
  const CallableData& as_callable() const { return *static_cast<const CallableData*>(data_.get()); }
  const void* identity() const { return data_.get(); }
  // "'x' is undefined"
  std::string why_undefined() const;

  bool truthy() const;
  // str(v), as {{ v }} prints it.
  std::string text() const;
  std::string repr() const;
  const char* type_name() const;  // Python's

 private:
  Kind kind_ = Kind::Undefined;
  int64_t int_ = 0;  // Bool, Int; of a String 1 where it is markup
  double real_ = 0;
  std::shared_ptr<void> data_;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

bool equal(const Value& a, const Value& b);
// -1, 0, 1; raises where Python has no order. `what` names the operation in the error.
int compare(const Value& a, const Value& b);
// nullptr where absent.
const Value* lookup(const DictData& dict, const Value& key);
const Value* lookup(const DictData& dict, std::string_view key);
// `needle in haystack`
bool contains(const Value& haystack, const Value& needle);
// What a for loop goes over; raises where it cannot. Paid item by item.
std::vector<Value> iterate(const Value& value);

struct JsonStyle {
  int indent = -1;  // -1: one line
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string item_separator = ", ", key_separator = ": ";
};
std::string to_json_text(const Value& value, const JsonStyle& style);

// str(v) with & < > " ' escaped, but for markup, which stays as it is.
std::string html(const Value& value);
// The str, or the list's strs, as markup; others unchanged.
Value marked(const Value& value);

// Python's repr of a float.
std::string float_repr(double d);
// At most 100 bytes of an outside text, for a message.
std::string brief(std::string_view text);
// Code points, and their number.
std::vector<uint32_t> code_points(std::string_view text);
size_t length(std::string_view text);
// Bytes of the first `count` code points, or of all where there are fewer.
size_t bytes_of(std::string_view text, int64_t count);
// Where `what` begins in `text` at or behind `from`, or the last place; npos where it is not. Linear, unlike
// std::string's.
size_t place_of(std::string_view text, std::string_view what, size_t from = 0);
size_t last_place_of(std::string_view text, std::string_view what);
bool is_space(uint32_t code_point);  // str.isspace
// str.splitlines: at every line boundary that Python knows, U+2028 and the like too.
std::vector<std::string> lines_of(std::string_view text, bool keep_ends = false);
std::string strip(std::string_view text, bool left, bool right, const std::string* chars = nullptr);
std::string upper(std::string_view text);
std::string lower(std::string_view text);
void append_upper(Text& out, uint32_t code_point);
void append_lower(Text& out, uint32_t code_point);
void append_same(Text& out, uint32_t code_point);

}  // namespace retort::model::jinja
