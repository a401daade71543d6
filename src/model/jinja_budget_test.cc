// A template comes with a model from outside: whatever it says, it ends within its budget. Each row is a way to make
// much of little; what it makes is counted, not timed, but for a bound that tells "ends" from "hangs".
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include <sys/resource.h>

#include "base/text.h"
#include "model/chat_template.h"

namespace retort::model {
namespace {

std::string times(std::string_view unit, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += unit;
  return out;
}

// `name`: a list of 10^12 texts in 13 lists.
std::string nested(const std::string& name) {
  return "{% set " + name + " = ['xxxxxxxxxx'] %}" +
         times("{% set " + name + " = [" + times(name + ",", 10) + "] %}", 12);
}

struct Bomb {
  const char* name;
  std::string source;
};

std::vector<Bomb> bombs() {
  const std::string a = nested("a"), b = nested("b"), text = "{% set s = 'a' * 60000000 %}";
  const std::string often = "{% for i in range(99999) %}";
  const auto looped = [&](const std::string& condition) {
    return text + often + "{% if " + condition + " %}{% endif %}{% endfor %}";
  };
  std::string keys;
  for (int i = 0; i < 60000; ++i) keys += "'k" + std::to_string(i) + "':1,";
  return {
      {"nested loops", often + times(often, 2) + "x" + times("{% endfor %}", 3)},
      {"recursion", "{% macro f(n) %}{{ f(n+1) }}{% endmacro %}{{ f(0) }}"},
      {"recursion by caller",
       "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{{ caller() }}{% endmacro %}{% call f() %}x{% endcall "
       "%}"},
      {"branching recursion", "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(90) }}"},
      {"range", "{{ range(10**18)|list|length }}"},
      {"power", "{{ 2**(10**18) }}"},
      {"doubled text",
       "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% "
       "endfor %}{{ n.x|length }}"},
      {"doubled text by +",
       "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% "
       "endfor %}"},
      {"doubled list", "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}"},
      {"doubled capture",
       "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set c %}{{ n.x }}{{ n.x }}{% "
       "endset %}{% set n.x = c %}{% endfor %}"},
      {"nested: print", a + "{{ a }}"},
      {"nested: text", a + "{{ (a ~ 'x')|length }}"},
      {"nested: string", a + "{{ a|string|length }}"},
      {"nested: JSON", a + "{{ a|tojson|length }}"},
      {"nested: indented JSON", a + "{{ a|tojson(indent=2)|length }}"},
      {"nested: sorted JSON", a + "{{ {'k': a}|tojson(sort_keys=true)|length }}"},
      {"nested: equal", a + b + "{{ a == b }}"},
      {"nested: not equal", a + b + "{{ a != b }}"},
      {"nested: less", a + b + "{{ a < b }}"},
      {"nested: in", a + b + "{{ a in [b] }}"},
      {"nested: index", a + b + "{{ [b].index(a) }}"},
      {"nested: count", a + b + "{{ [b].count(a) }}"},
      {"nested: unique", a + b + "{{ [a, b]|unique|list|length }}"},
      {"nested: sort", a + b + "{{ [a, b]|sort|length }}"},
      {"nested: groupby", a + b + "{{ [{'k': a}, {'k': b}]|groupby('k')|length }}"},
      {"nested: min", a + b + "{{ [a, b]|min|length }}"},
      {"nested: escape", a + "{{ a|e|length }}"},
      {"nested: safe", a + "{{ a|safe|length }}"},
      {"nested: join", a + "{{ a|join('x')|length }}"},
      {"nested: %s", a + "{{ ('%s' % a)|length }}"},
      {"nested: %r", a + "{{ ('%r' % (a,))|length }}"},
      {"nested: format", a + "{{ '{}'.format(a)|length }}"},
      {"nested: changed", a + b + "{% for x in [a, b] %}{% if loop.changed(x) %}{% endif %}{% endfor %}"},
      {"nested: key", a + "{{ {}[a] }}"},
      {"nested: refusal", a + "{{ raise_exception(a) }}"},
      {"nested dicts", "{% set a = {'k': 'x'} %}" +
                           times("{% set a = {'a':a,'b':a,'c':a,'d':a,'e':a,'f':a,'g':a,'h':a} %}", 14) + "{{ a }}"},
      {"nested dicts: equal",
       "{% set a = {'k': 'x'} %}{% set b = {'k': 'x'} %}" +
           times("{% set a = {'a':a,'b':a,'c':a,'d':a} %}{% set b = {'a':b,'b':b,'c':b,'d':b} %}", 20) +
           "{{ a == b }}"},
      {"join", text + "{{ range(99999)|join(s)|length }}"},
      {"join method", text + "{{ s.join(range(99999)|map('string'))|length }}"},
      {"replace nothing", text + "{{ ('b' * 1000000)|replace('', s)|length }}"},
      {"replace", text + "{{ s.replace('a', s)|length }}"},
      {"format fields", text + "{{ ('{0}' * 100000).format(s)|length }}"},
      {"named fields", "{{ ('{x}' * 100000).format(**dict(range(5000)|map('string')|batch(2)|list)) }}"},
      {"%s", text + "{{ (('%s' * 100000) % (([s] * 100000)|list))|length }}"},
      {"%s filter", text + "{{ ('%s' * 100)|format(" + times("s,", 99) + "s)|length }}"},
      {"indent", text + "{{ ('\\n' * 100000)|indent(s)|length }}"},
      {"wordwrap", text + "{{ ('b ' * 100000)|wordwrap(1, wrapstring=s)|length }}"},
      {"wordwrap of much", text + "{{ s|wordwrap(1)|length }}"},
      {"loop over a text", text + "{% for c in s %}{% endfor %}"},
      {"list of a text", text + "{{ s|list|length }}"},
      {"slice", text + "{{ s[::2]|length }}"},
      {"reverse", text + "{{ s|reverse|length }}"},
      {"title", text + "{{ s|title|length }}"},
      {"title method", text + "{{ s.title()|length }}"},
      {"swapcase", text + "{{ s.swapcase()|length }}"},
      {"upper", text + times("{% set s = s|upper|lower %}", 30)},
      {"split", "{% set s = 'a ' * 30000000 %}{{ s.split()|length }}"},
      {"rsplit", "{% set s = 'a ' * 30000000 %}{{ s.rsplit(' ')|length }}"},
      {"splitlines", "{% set s = '\\n' * 60000000 %}{{ s.splitlines()|length }}"},
      {"count", text + "{{ s.count('a') }}"},
      {"in, often", looped("'b' in s")},
      {"length, often", looped("s|length == 1")},
      {"equal, often", "{% set t = 'a' * 60000000 %}" + looped("s == t")},
      {"find, often", looped("s.find('ab') == 1")},
      {"rfind, often", looped("s.rfind('ab') == 1")},
      {"startswith, often", looped("s.startswith(s)")},
      {"split, often", looped("s.split('b')")},
      {"attribute, often", looped("messages[s] is defined")},
      {"undefined, often", looped("(none).x[s] is defined")},
      {"item, often", looped("s[-1] == 'b'")},
      {"upper, often", looped("s is upper")},
      {"isdigit, often", looped("s.isdigit()")},
      {"concatenation, often", looped("s ~ 'x'")},
      {"find", "{% set s = 'a' * 30000000 %}{{ s.find('a' * 15000000 ~ 'b') }}"},
      {"rfind", "{% set s = 'a' * 30000000 %}{{ s.rfind('b' ~ 'a' * 15000000) }}"},
      {"strip", text + "{{ ('b' * 1000000).strip(s ~ 'b')|length }}"},
      {"strip by many", "{{ ('a' * 60000000).strip('bcdefghijklmnopqrstuvwxyza' * 1000000)|length }}"},
      {"dict of many", "{{ dict(range(99999)|map('string')|list|batch(2)|list)|length }}"},
      {"dict literal", "{{ {" + keys + "}|length }}"},
      {"unique", "{{ range(99999)|unique|list|length }}"},
      {"groupby", "{{ range(99999)|map('string')|groupby('x')|list|length }}"},
      {"repeated list", "{{ ([1] * (10**18))|length }}"},
      {"repeated empty list", "{{ ([] * (10**18))|length }}{{ ('' * (10**18))|length }}"},
      {"long list", "{% set l = ['a'] * 2999999 %}{{ l|length }}{{ l|length }}"},
      {"list in list", "{% set l = ['a'] * 99999 %}{% for i in l %}{% set m = l + l %}{% endfor %}"},
      {"batch", "{{ [1]|batch(10**18, 1)|list|length }}"},
      {"slices", often + "{% if range(99999)|slice(99999)|list %}{% endif %}{% endfor %}"},
      {"arguments", "{% macro f() %}{{ varargs|length }}{% endmacro %}" + often + "{{ f(*range(99999)) }}{% endfor %}"},
      {"map with arguments", "{{ range(99999)|map('default', *range(99999))|list|length }}"},
      {"select with arguments", "{{ range(99999)|select('eq', *range(99999))|list|length }}"},
      {"cycle", "{% for i in range(9999) %}{{ loop.cycle(*range(99999)) }}{% endfor %}"},
      {"center", "{{ 'a'|center(-9223372036854775807-1)|length }}{{ 'a'.center(-9223372036854775807-1) }}"},
      {"ljust", "{{ 'a'.ljust(10**18)|length }}"},
      {"ljust least", "{{ 'a'.ljust(-9223372036854775807-1)|length }}"},
      {"zfill", "{{ 'a'.zfill(10**18)|length }}{{ 'a'.zfill(-9223372036854775807-1) }}"},
      {"JSON indent", "{{ [[1]]|tojson(indent=10**18) }}{{ [[1]]|tojson(indent=-5) }}"},
      {"JSON separators", text + "{{ range(99999)|list|tojson(separators=(s, s))|length }}"},
      {"round", "{{ 1.5|round(10**18) }}{{ 1.5|round(-10**18) }}"},
      {"truncate", "{{ 'a'|truncate(-9223372036854775807) }}"},
      {"expandtabs", "{{ ('\\t' * 1000000).expandtabs(10**18)|length }}"},
      {"positions",
       "{{ 'abc'.find('b', -9223372036854775807-1, 9223372036854775807) }}{{ "
       "'abc'[-9223372036854775807-1:9223372036854775807:9223372036854775807] }}"},
      {"time", text + "{{ strftime_now(s)|length }}{{ strftime_now('%9999999999Y') }}"},
      {"time of many", "{{ strftime_now('%c' * 400000)|length }}"},
      {"parentheses", "{{ " + times("(", 100000) + "1" + times(")", 100000) + " }}"},
      {"brackets", "{{ " + times("[", 100000) + times("]", 100000) + " }}"},
      {"not", "{{ " + times("not ", 200000) + "1 }}"},
      {"minus", "{{ " + times("-", 500000) + "1 }}"},
      {"if", times("{% if 1 %}", 50000) + times("{% endif %}", 50000)},
      {"sum", "{{ " + times("1+", 300000) + "1 }}"},
      {"concatenation", "{{ " + times("'a'~", 200000) + "'a' }}"},
      {"attributes", "{{ messages" + times(".a", 300000) + " }}"},
      {"filters", "{{ 1" + times("|string", 100000) + " }}"},
      {"elif", "{% if 0 %}" + times("{% elif 0 %}", 70000) + "{% endif %}"},
      {"or", "{{ " + times("0 or ", 200000) + "1 }}"},
      {"calls", "{{ f" + times("()", 300000) + " }}"},
      {"scopes",
       times("{% with %}", 300) + often + times("{{ nothing }}", 100) + "{% endfor %}" + times("{% endwith %}", 300)},
      {"namespace cycle", "{% set n = namespace() %}{% set n.n = n %}{{ n }}{{ n|tojson }}"},
      {"namespace cycle, equal",
       "{% set n = namespace() %}{% set m = namespace() %}{% set n.n = [m] %}{% set m.n = [n] "
       "%}{{ n == m }}{{ n.n == m.n }}"},
      {"namespace chain", "{% set n = namespace(x=0) %}" + often + "{% set n.x = namespace(y=n.x) %}{% endfor %}"},
      {"macro scopes", often +
                           "{% macro f(a) %}{% set b = a ~ 'x' %}{{ b }}{% endmacro %}{% if f('a' * 1000) %}{% endif "
                           "%}{% endfor %}"},
      {"sum of lists", "{{ ([[1, 2, 3, 4]] * 99999)|sum(start=[])|length }}"},
      {"attribute path", "{{ range(99999)|map(attribute='a.' * 1000000)|list|length }}"},
      {"sort keys", "{{ ([{'a': 1}] * 9999)|sort(attribute='a,' * 100000)|length }}"},
  };
}

TEST(JinjaBudget, EachBombEndsWithinItsBudget) {
  const Json variables = chat_variables({{"user", "hi", "", nullptr}}, true, "<s>", "</s>");
  const std::vector<Bomb> all = bombs();
  EXPECT_GE(all.size(), 82u);
  const RenderLimits limits;
  for (const Bomb& bomb : all) {
    const auto start = std::chrono::steady_clock::now();
    const auto parsed = ChatTemplate::parse(bomb.source);
    if (parsed.ok()) {
      RenderUse use;
      RenderOptions options;
      options.use = &use;
      const auto out = parsed->render(variables, options);
      // A bound is passed by the one charge that is refused, never by work: 64 KiB of the conversation's allowance.
      EXPECT_GT(use.steps, 0) << bomb.name;
      if (out.ok()) {
        EXPECT_LE(use.steps, limits.steps + 10'000) << bomb.name;
        EXPECT_LE(use.bytes, limits.bytes + (64 << 10)) << bomb.name;
        EXPECT_LE(out->size(), limits.output_bytes) << bomb.name;
      } else {
        EXPECT_TRUE(out.error().code == Code::Limit || out.error().code == Code::Invalid) << bomb.name;
        EXPECT_LT(out.error().message.size(), 4096u) << bomb.name;
      }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_LT(seconds, 30) << bomb.name;  // they take milliseconds to a second; before, hours
  }
  // All of them together have never held more than a render may.
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 2'000'000);  // KiB
}

TEST(JinjaBudget, CancelEndsARender) {
  const auto endless =
      ChatTemplate::parse("{% for a in range(99999) %}{% for b in range(99999) %}{{ 1 }}{% endfor %}{% endfor %}");
  ASSERT_TRUE(endless.ok());
  Cancel cancel;
  RenderOptions options;
  options.cancel = &cancel;
  options.limits.steps = INT64_MAX / 2;
  options.limits.bytes = SIZE_MAX / 2;
  std::thread asks([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel.request();
  });
  const auto out = endless->render(Json::object(), options);
  asks.join();
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().code, Code::Cancelled);
}

// 20,000 messages of a million tokens together, tools and a template that looks at each text in many ways.
TEST(JinjaBudget, AMillionTokensFit) {
  std::vector<Message> messages;
  for (int i = 0; i < 20000; ++i)
    messages.push_back({i % 2 == 0 ? "user" : "assistant",
                        times("some words ", 20) + (i % 2 == 0 ? "" : "</think>\n\nyes"), "", nullptr});
  Json tools = Json::array();
  for (int i = 0; i < 100; ++i)
    tools.push_back({{"type", "function"},
                     {"function",
                      {{"name", "f" + std::to_string(i)},
                       {"description", times("what it does ", 20)},
                       {"parameters", {{"type", "object"}, {"properties", {{"a", {{"type", "string"}}}}}}}}}});
  const auto parsed = ChatTemplate::parse(
      "{% for tool in tools %}{{ tool | tojson(indent=2) }}\n{% endfor %}"
      "{% set ns = namespace(last=-1) %}"
      "{% for m in messages[::-1] %}{% set i = messages|length - 1 - loop.index0 %}"
      "{% if ns.last < 0 and m.role == 'user' and not (m.content.startswith('<tool') and m.content.endswith('>')) %}"
      "{% set ns.last = i %}{% endif %}{% endfor %}"
      "{% for m in messages %}{% set content = m.content %}{% set thought = '' %}"
      "{% if m.reasoning_content is defined and m.reasoning_content is not none %}{% set thought = m.reasoning_content "
      "%}"
      "{% elif '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}"
      "{% set thought = m.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{% endif %}"
      "{% if loop.first or loop.index0 > ns.last %}{{ thought.strip() }}{% endif %}"
      "{{ '<|' + m.role + '|>\\n' + content | trim + '<|end|>\\n' }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  RenderUse use;
  RenderOptions options;
  options.use = &use;
  const auto out = parsed->render(chat_variables(messages, true, "<s>", "</s>", {{"tools", tools}}), options);
  ASSERT_TRUE(out.ok()) << out.error().message;
  EXPECT_GT(out->size(), 2'500'000u);
  // Room for a template four times as busy.
  EXPECT_LT(use.steps, 15'000'000);
  EXPECT_LT(use.bytes, size_t{256} << 20);
}

}  // namespace
}  // namespace retort::model
