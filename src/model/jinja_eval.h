// The interpreter: walks a template's tree within the limits of RenderOptions. One Interpreter renders once.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "model/chat_template.h"
#include "model/jinja_ast.h"

namespace retort::model::jinja {

struct Scope {
  std::shared_ptr<Scope> parent;
  std::unordered_map<std::string, Value> values;
};
using ScopePtr = std::shared_ptr<Scope>;

class Interpreter {
 public:
  Interpreter(const RenderOptions& options) : options_(options) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  std::string render(const Block& program, const Json& variables);

  // For filters and methods.
  Value filter(const std::string& name, const Value& input, Arguments& arguments);
  bool test(const std::string& name, const Value& input, Arguments& arguments);
  // object.name and object[key] with Jinja's rules; Undefined where absent.
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  Value call(const Value& function, Arguments& arguments);
  int64_t now_us() const { return options_.now_us; }
  void keep(std::shared_ptr<DictData> name_space) { namespaces_.push_back(std::move(name_space)); }
  bool has_filter(const std::string& name) const;
  bool has_test(const std::string& name) const;

 private:
  enum class Flow { Next, Break, Continue };
  struct Deeper;
  Flow run(const Block& block, const ScopePtr& scope, std::string& out);
  Flow run(const Stmt& s, const ScopePtr& scope, std::string& out);
  Flow run_for(const Stmt& s, const ScopePtr& scope, std::string& out);
  void write(std::string& out, std::string_view text);
  std::string capture(const Block& block, const ScopePtr& scope);
  Value macro(const Stmt& s, const ScopePtr& scope);
  Value invoke(const Stmt& s, const ScopePtr& scope, Arguments& arguments);
  void assign(const Expr& target, const Value& value, const ScopePtr& scope);
  Value eval(const Expr& e, const ScopePtr& scope);
  Value eval_call(const Expr& e, const ScopePtr& scope, const Value* caller);
  Value eval_slice(const Expr& e, const ScopePtr& scope);
  Value filtered(const Expr& e, const Value& input, const ScopePtr& scope);
  bool eval_compare(const Expr& e, const ScopePtr& scope);
  Arguments arguments(const Call& call, const ScopePtr& scope);
  Value find(const std::string& name, const ScopePtr& scope);

  RenderOptions options_;
  int depth_ = 0;
  std::unordered_map<std::string, Value> globals_;
  std::vector<std::shared_ptr<DictData>> namespaces_;
  std::vector<ScopePtr> scopes_;  // captured by macros; emptied at the end, since macros and scopes hold each other
};

// What + - * / // % ** do (jinja_operators.cc).
Value arithmetic(Expr::Op op, const Value& a, const Value& b);
// The method `name` of a str, dict or list, bound to it; Undefined where there is none (jinja_methods.cc).
Value method(const Value& object, const std::string& name);
// raise_exception, strftime_now, namespace, range, dict, ... (jinja_builtins.cc).
std::unordered_map<std::string, Value> make_globals();

// Takes an argument by position or name; Undefined where absent. `taken` raises on what nobody asked for.
class Signature {
 public:
  Signature(const char* function, Arguments& arguments) : function_(function), arguments_(arguments) {}
  Value get(const char* name);
  Value get(const char* name, Value fallback);
  int64_t get_int(const char* name, int64_t fallback);
  bool get_bool(const char* name, bool fallback);
  std::string get_string(const char* name, const std::string& fallback);
  std::string need_string(const char* name);
  void done() const;

 private:
  const char* function_;
  Arguments& arguments_;
  size_t next_ = 0, used_ = 0;
};

}  // namespace retort::model::jinja
