#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <set>
#include <utility>

#include "model/jinja_ast.h"
#include "model/jinja_lexer.h"

namespace retort::model::jinja {
namespace {

using Op = Expr::Op;

constexpr int kMaxDepth = 150;  // of the source's nesting; bounds the parser's and the tree's recursion

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block run() {
    Block out = block({});
    return out;
  }

 private:
  struct Deeper {
    explicit Deeper(Parser& p) : parser(p) {
      if (++p.depth_ > kMaxDepth) raise("line {}: the template nests deeper than {}", p.now().line, kMaxDepth);
    }
    ~Deeper() { --parser.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    Parser& parser;
  };

  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool is_op(std::string_view op) const { return now().kind == Token::Kind::Operator && now().text == op; }
  bool is_name(std::string_view name) const { return now().kind == Token::Kind::Name && now().text == name; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool skip_op(std::string_view op) {
    if (!is_op(op)) return false;
    take();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!is_name(name)) return false;
    take();
    return true;
  }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    raise("line {}: expected {}, found {}", now().line, wanted,
          now().kind == Token::Kind::End                                                  ? "the end of the template"
          : now().kind == Token::Kind::BlockEnd || now().kind == Token::Kind::VariableEnd ? "the end of the tag"
                                                                                          : "`" + now().text + "`");
  }
  void need_op(std::string_view op) {
    if (!skip_op(op)) unexpected(fmt::format("`{}`", op));
  }
  std::string need_name() {
    if (now().kind != Token::Kind::Name) unexpected("a name");
    return take().text;
  }
  void end_of_block() {
    if (now().kind != Token::Kind::BlockEnd) unexpected("%}");
    take();
  }

  ExprPtr make(Op op, int line) const {
    auto e = std::make_unique<Expr>();
    e->op = op;
    e->line = line;
    return e;
  }
  ExprPtr binary(Op op, ExprPtr a, ExprPtr b) const {
    auto e = make(op, a->line);
    e->parts.push_back(std::move(a));
    e->parts.push_back(std::move(b));
    return e;
  }
  ExprPtr unary(Op op, int line, ExprPtr a) const {
    auto e = make(op, line);
    e->parts.push_back(std::move(a));
    return e;
  }
  ExprPtr chain(Op op, ExprPtr first) const {
    const int line = first->line;
    return unary(op, line, std::move(first));
  }
  ExprPtr constant(Value v, int line) const {
    auto e = make(Op::Constant, line);
    e->constant = std::move(v);
    return e;
  }

  // Statements up to a tag whose name is in `ends`, which stays to be read ({% is consumed); with no ends, to the end.
  Block block(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(*this);
    Block out;
    for (;;) {
      const Token token = now();
      if (token.kind == Token::Kind::End) {
        if (ends.size() > 0) raise("line {}: {{% {} %}} is missing", token.line, *(ends.end() - 1));
        return out;
      }
      take();
      auto s = std::make_unique<Stmt>();
      s->line = token.line;
      if (token.kind == Token::Kind::Text) {
        s->text = token.text;
        out.push_back(std::move(s));
      } else if (token.kind == Token::Kind::VariableBegin) {
        s->op = Stmt::Op::Print;
        s->value = tuple(true);
        if (now().kind != Token::Kind::VariableEnd) unexpected("}}");
        take();
        out.push_back(std::move(s));
      } else {
        if (now().kind != Token::Kind::Name) unexpected("a statement");
        if (std::find(ends.begin(), ends.end(), now().text) != ends.end()) return out;
        statement(*s);
        out.push_back(std::move(s));
      }
    }
  }

  void statement(Stmt& s) {
    const std::string word = take().text;
    if (word == "if") {
      if_statement(s);
    } else if (word == "for") {
      for_statement(s);
    } else if (word == "set") {
      set_statement(s);
    } else if (word == "macro") {
      s.op = Stmt::Op::Macro;
      s.text = need_name();
      parameters(s);
      end_of_block();
      macro_body(s, "endmacro");
      skip_optional_name();
      end_of_block();
    } else if (word == "call") {
      s.op = Stmt::Op::CallBlock;
      if (is_op("(")) parameters(s);
      s.value = expression();
      if (s.value->op != Op::Call) raise("line {}: {{% call %}} needs a call", s.line);
      end_of_block();
      macro_body(s, "endcall");
      end_of_block();
    } else if (word == "filter") {
      s.op = Stmt::Op::FilterBlock;
      s.value = filters(nullptr, true);
      end_of_block();
      s.body = body_until("endfilter");
      end_of_block();
    } else if (word == "with") {
      s.op = Stmt::Op::With;
      while (now().kind != Token::Kind::BlockEnd) {
        if (!s.bindings.empty()) need_op(",");
        ExprPtr name = target(false);
        need_op("=");
        s.bindings.emplace_back(std::move(name), expression());
      }
      end_of_block();
      s.body = body_until("endwith");
      end_of_block();
    } else if (word == "generation") {
      s.op = Stmt::Op::Scope;
      end_of_block();
      s.body = body_until("endgeneration");
      end_of_block();
    } else if (word == "break" || word == "continue") {
      if (loops_ == 0) raise("line {}: {{% {} %}} outside of a loop", s.line, word);
      s.op = word == "break" ? Stmt::Op::Break : Stmt::Op::Continue;
      end_of_block();
    } else {
      raise("line {}: the statement `{}` is not supported", s.line, word);
    }
  }

  Block body_until(std::string_view end) {
    const int loops = loops_;
    if (end != "endwith" && end != "endif") loops_ = 0;
    Block body = block({end});
    loops_ = loops;
    take();
    return body;
  }
  // A macro takes spare arguments only where its body names them.
  void macro_body(Stmt& s, std::string_view end) {
    const std::set<std::string> outside = std::exchange(spare_names_, {});
    s.body = body_until(end);
    s.takes_varargs = spare_names_.count("varargs") != 0;
    s.takes_kwargs = spare_names_.count("kwargs") != 0;
    s.takes_caller = spare_names_.count("caller") != 0;
    spare_names_.insert(outside.begin(), outside.end());
  }
  void skip_optional_name() {
    if (now().kind == Token::Kind::Name) take();
  }

  void if_statement(Stmt& s) {
    s.op = Stmt::Op::If;
    ExprPtr condition = tuple(false);
    for (;;) {
      end_of_block();
      Block body = block({"elif", "else", "endif"});
      s.branches.emplace_back(std::move(condition), std::move(body));
      const std::string word = take().text;
      if (word == "elif") {
        condition = tuple(false);
        continue;
      }
      if (word == "else") {
        end_of_block();
        s.branches.emplace_back(nullptr, block({"endif"}));
        take();
      }
      end_of_block();
      return;
    }
  }

  void for_statement(Stmt& s) {
    s.op = Stmt::Op::For;
    s.target = target(true);
    if (!skip_name("in")) unexpected("`in`");
    s.value = tuple(false);
    if (skip_name("if")) s.filter = expression();
    if (is_name("recursive")) raise("line {}: recursive loops are not supported", s.line);
    end_of_block();
    ++loops_;
    s.body = block({"else", "endfor"});
    --loops_;
    if (take().text == "else") {
      end_of_block();
      s.otherwise = block({"endfor"});
      take();
    }
    end_of_block();
  }

  void set_statement(Stmt& s) {
    s.target = target(true);
    if (skip_op("=")) {
      s.op = Stmt::Op::Set;
      s.value = tuple(true);
      end_of_block();
      return;
    }
    s.op = Stmt::Op::SetBlock;
    s.value = filters(nullptr, false);
    end_of_block();
    s.body = body_until("endset");
    end_of_block();
  }

  void parameters(Stmt& s) {
    need_op("(");
    while (!is_op(")")) {
      if (!s.parameters.empty()) need_op(",");
      std::string name = need_name();
      ExprPtr fallback;
      if (skip_op("="))
        fallback = expression();
      else if (!s.parameters.empty() && s.parameters.back().second != nullptr)
        raise("line {}: a parameter without default after one with default", now().line);
      s.parameters.emplace_back(std::move(name), std::move(fallback));
    }
    take();
  }

  ExprPtr target(bool many) {
    const Deeper deeper(*this);
    const int line = now().line;
    std::vector<ExprPtr> names;
    bool comma = false;
    for (;;) {
      ExprPtr one;
      if (is_op("(")) {
        take();
        one = target(true);
        need_op(")");
      } else {
        one = make(Op::Name, line);
        one->name = need_name();
        for (const std::string_view word : {"true", "false", "none", "True", "False", "None"}) {
          if (one->name == word) raise("line {}: cannot assign to `{}`", line, word);
        }
        if (skip_op(".")) {
          ExprPtr attribute = unary(Op::Attribute, line, std::move(one));
          attribute->name = need_name();
          one = std::move(attribute);
        }
      }
      names.push_back(std::move(one));
      if (!many || !skip_op(",")) break;
      comma = true;
      if (is_name("in") || is_op("=") || is_op(")")) break;
    }
    if (names.size() == 1 && !comma) return std::move(names[0]);
    auto e = make(Op::Tuple, line);
    e->parts = std::move(names);
    return e;
  }

  // An expression, or several with commas. `condition`: whether `a if b` may stand at the top.
  ExprPtr tuple(bool condition) {
    const int line = now().line;
    ExprPtr first = condition ? expression() : disjunction();
    if (!is_op(",")) return first;
    auto e = make(Op::Tuple, line);
    e->parts.push_back(std::move(first));
    while (skip_op(",")) {
      if (now().kind == Token::Kind::BlockEnd || now().kind == Token::Kind::VariableEnd || is_op(")")) break;
      e->parts.push_back(condition ? expression() : disjunction());
    }
    return e;
  }

  ExprPtr expression() {
    const Deeper deeper(*this);
    ExprPtr value = disjunction();
    while (is_name("if")) {
      const int line = take().line;
      auto e = make(Op::Condition, line);
      e->parts.push_back(disjunction());
      e->parts.push_back(std::move(value));
      e->parts.push_back(skip_name("else") ? expression() : nullptr);
      value = std::move(e);
    }
    return value;
  }
  ExprPtr disjunction() {
    ExprPtr left = conjunction();
    while (skip_name("or")) left = binary(Op::Or, std::move(left), grown(conjunction()));
    return left;
  }
  ExprPtr conjunction() {
    ExprPtr left = negation();
    while (skip_name("and")) left = binary(Op::And, std::move(left), grown(negation()));
    return left;
  }
  ExprPtr negation() {
    const Deeper deeper(*this);
    if (is_name("not")) {
      const int line = take().line;
      return unary(Op::Not, line, negation());
    }
    return comparison();
  }
  ExprPtr comparison() {
    ExprPtr first = sum();
    ExprPtr compared;
    for (;;) {
      std::string op;
      if (now().kind == Token::Kind::Operator) {
        for (const std::string_view known : {"==", "!=", "<", "<=", ">", ">="}) {
          if (now().text == known) op = known;
        }
      } else if (is_name("in")) {
        op = "in";
      } else if (is_name("not") && next().kind == Token::Kind::Name && next().text == "in") {
        op = "not in";
        take();
      }
      if (op.empty()) break;
      take();
      if (compared == nullptr) compared = chain(Op::Compare, std::move(first));
      compared->names.push_back(op);
      compared->parts.push_back(sum());
    }
    return compared != nullptr ? std::move(compared) : std::move(first);
  }
  ExprPtr sum() {
    ExprPtr left = concatenation();
    while (is_op("+") || is_op("-")) {
      const Op op = take().text == "+" ? Op::Add : Op::Subtract;
      left = binary(op, std::move(left), grown(concatenation()));
    }
    return left;
  }
  ExprPtr concatenation() {
    ExprPtr first = product();
    if (!is_op("~")) return first;
    ExprPtr e = chain(Op::Concat, std::move(first));
    while (skip_op("~")) e->parts.push_back(product());
    return e;
  }
  ExprPtr product() {
    ExprPtr left = power();
    while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
      const std::string op = take().text;
      left = binary(op == "*"    ? Op::Multiply
                    : op == "/"  ? Op::Divide
                    : op == "//" ? Op::FloorDivide
                                 : Op::Modulo,
                    std::move(left), grown(power()));
    }
    return left;
  }
  ExprPtr power() {
    ExprPtr left = signed_value(true);
    while (skip_op("**")) left = binary(Op::Power, std::move(left), grown(signed_value(true)));
    return left;
  }
  // Left-leaning chains deepen the tree without the parser's recursion; count them too.
  ExprPtr grown(ExprPtr right) {
    if (++chain_ > 5000) raise("line {}: the template is too large", right->line);
    return right;
  }
  ExprPtr signed_value(bool with_filter) {
    const Deeper deeper(*this);
    const int line = now().line;
    ExprPtr e;
    if (skip_op("-"))
      e = unary(Op::Negate, line, signed_value(false));
    else if (skip_op("+"))
      e = unary(Op::Plus, line, signed_value(false));
    else
      e = primary();
    e = postfix(std::move(e));
    return with_filter ? filters(std::move(e), false) : std::move(e);
  }

  ExprPtr primary() {
    const Token token = take();
    switch (token.kind) {
      case Token::Kind::Name: {
        if (token.text == "true" || token.text == "True") return constant(Value::boolean(true), token.line);
        if (token.text == "false" || token.text == "False") return constant(Value::boolean(false), token.line);
        if (token.text == "none" || token.text == "None") return constant(Value::none(), token.line);
        auto e = make(Op::Name, token.line);
        e->name = token.text;
        if (e->name == "varargs" || e->name == "kwargs" || e->name == "caller") spare_names_.insert(e->name);
        return e;
      }
      case Token::Kind::String: {
        std::string text = token.text;
        while (now().kind == Token::Kind::String) text += take().text;
        return constant(Value::string(std::move(text)), token.line);
      }
      case Token::Kind::Integer: {
        int64_t value = 0;
        const auto r = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        if (r.ec != std::errc()) raise_limit("line {}: {} does not fit 64 bits", token.line, token.text);
        return constant(Value::integer(value), token.line);
      }
      case Token::Kind::Float: {
        double value = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
        return constant(Value::real(value), token.line);
      }
      case Token::Kind::Operator:
        if (token.text == "(") return parenthesis(token.line);
        if (token.text == "[") return list(token.line);
        if (token.text == "{") return dict(token.line);
        [[fallthrough]];
      default:
        if (token.kind != Token::Kind::End) --at_;
        unexpected("an expression");
    }
  }
  ExprPtr parenthesis(int line) {
    if (skip_op(")")) return make(Op::Tuple, line);
    ExprPtr e = tuple(true);
    need_op(")");
    return e;
  }
  ExprPtr list(int line) {
    auto e = make(Op::List, line);
    while (!is_op("]")) {
      if (!e->parts.empty()) need_op(",");
      if (is_op("]")) break;
      e->parts.push_back(expression());
    }
    take();
    return e;
  }
  ExprPtr dict(int line) {
    auto e = make(Op::Dict, line);
    while (!is_op("}")) {
      if (!e->parts.empty()) need_op(",");
      if (is_op("}")) break;
      e->parts.push_back(expression());
      need_op(":");
      e->parts.push_back(expression());
    }
    take();
    return e;
  }

  ExprPtr postfix(ExprPtr e) {
    for (int links = 0;; ++links) {
      if (links > kMaxDepth) raise("line {}: a chain of more than {} accesses", now().line, kMaxDepth);
      const int line = now().line;
      if (skip_op(".")) {
        if (now().kind == Token::Kind::Integer) {
          ExprPtr index = constant(Value::integer(std::atoi(take().text.c_str())), line);
          e = binary(Op::Item, std::move(e), std::move(index));
        } else {
          e = unary(Op::Attribute, line, std::move(e));
          e->name = need_name();
        }
      } else if (skip_op("[")) {
        e = subscript(std::move(e));
      } else if (is_op("(")) {
        e = unary(Op::Call, line, std::move(e));
        arguments(e->call);
      } else {
        return e;
      }
    }
  }
  ExprPtr subscript(ExprPtr object) {
    const int line = now().line;
    ExprPtr parts[3];
    bool slice = false;
    int k = 0;
    for (;;) {
      if (is_op(":")) {
        take();
        slice = true;
        if (++k > 2) unexpected("]");
      } else if (is_op("]")) {
        break;
      } else {
        if (parts[k] != nullptr) unexpected("]");
        parts[k] = expression();
      }
    }
    take();
    if (!slice) {
      if (parts[0] == nullptr) raise("line {}: an empty subscript", line);
      return binary(Op::Item, std::move(object), std::move(parts[0]));
    }
    auto e = unary(Op::Slice, line, std::move(object));
    for (ExprPtr& part : parts) e->parts.push_back(std::move(part));
    return e;
  }
  void arguments(Call& call) {
    need_op("(");
    bool first = true;
    while (!is_op(")")) {
      if (!first) need_op(",");
      first = false;
      if (is_op(")")) break;
      if (skip_op("*")) {
        call.star = expression();
      } else if (skip_op("**")) {
        call.star_star = expression();
      } else if (now().kind == Token::Kind::Name && next().kind == Token::Kind::Operator && next().text == "=") {
        std::string name = take().text;
        take();
        call.named.emplace_back(std::move(name), expression());
      } else {
        if (!call.named.empty() || call.star_star != nullptr)
          raise("line {}: a positional argument after a named one", now().line);
        call.positional.push_back(expression());
      }
    }
    take();
  }
  std::string dotted_name() {
    std::string name = need_name();
    while (skip_op(".")) name += "." + need_name();
    return name;
  }

  // Filters, tests and calls behind `e`. `e` null and `inline_first`: {% filter name %}; null otherwise: {% set x | f
  // %}.
  ExprPtr filters(ExprPtr e, bool inline_first) {
    for (int links = 0;; ++links) {
      if (links > kMaxDepth) raise("line {}: a chain of more than {} filters", now().line, kMaxDepth);
      const int line = now().line;
      if (inline_first || skip_op("|")) {
        inline_first = false;
        e = unary(Op::Filter, line, std::move(e));
        e->name = dotted_name();
        if (is_op("(")) arguments(e->call);
      } else if (e != nullptr && is_name("is")) {
        take();
        const bool negated = skip_name("not");
        e = unary(Op::Test, line, std::move(e));
        e->name = dotted_name();
        test_argument(*e);
        if (negated) e = unary(Op::Not, line, std::move(e));
      } else if (e != nullptr && is_op("(")) {
        e = unary(Op::Call, line, std::move(e));
        arguments(e->call);
      } else {
        return e;
      }
    }
  }
  void test_argument(Expr& test) {
    if (is_op("(")) return arguments(test.call);
    const Token::Kind kind = now().kind;
    const bool starts = kind == Token::Kind::String || kind == Token::Kind::Integer || kind == Token::Kind::Float ||
                        is_op("(") || is_op("[") || is_op("{") ||
                        (kind == Token::Kind::Name && !is_name("else") && !is_name("or") && !is_name("and"));
    if (!starts) return;
    if (is_name("is")) raise("line {}: tests cannot be chained with `is`", now().line);
    // Jinja takes any name here as the test's argument; `if` and `not` could only be a mistake there as well.
    if (is_name("if") || is_name("not") || is_name("in") || is_name("recursive")) return;
    test.call.positional.push_back(postfix(primary()));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0, chain_ = 0, loops_ = 0;
  std::set<std::string> spare_names_;  // varargs, kwargs and caller, where the macro being read names them
};

}  // namespace

Block parse_template(std::string_view source) { return Parser(tokenize(source)).run(); }

}  // namespace retort::model::jinja
