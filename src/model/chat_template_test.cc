#include "model/chat_template.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace retort::model {
namespace {

std::string render(std::string_view source, const char* variables = "{}", RenderOptions options = {}) {
  const auto t = ChatTemplate::parse(source);
  if (!t.ok()) return "ERROR " + t.error().message;
  const auto out = t->render(*parse_json(variables), options);
  return out.ok() ? *out : "ERROR " + out.error().message;
}

constexpr std::string_view kReal =
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|sys|>\n{% endif %}"
    "{{'<' + m['role'] + '>' + m.content|trim + '\n'}}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}";

TEST(ChatTemplate, RendersAChat) {
  EXPECT_EQ(render(kReal, R"({"messages":[{"role":"user","content":" hi "}],"add_generation_prompt":true})"),
            "<|sys|>\n<user>hi\n<a>");
}

// Expected texts are Jinja2 3.1's; tests/test_text.py compares many more with the library itself.
TEST(ChatTemplate, FollowsPython) {
  EXPECT_EQ(render("{{ 7 // -2 }} {{ -7 % 3 }} {{ 1 / 2 }} {{ 2 ** 10 }} {{ 1e16 }} {{ 0.1 + 0.2 }}"),
            "-4 2 0.5 1024 1e+16 0.30000000000000004");
  EXPECT_EQ(render("{{ none }} {{ true }} {{ [1, 'a', none] }} {{ {'k': (1,)} }}"),
            "None True [1, 'a', None] {'k': (1,)}");
  EXPECT_EQ(render("{{ 'abc'[::-1] }} {{ [1,2,3][-2:] }} {{ 'é中'|length }}"), "cba [2, 3] 2");
  EXPECT_EQ(render("{{ {'a': 1.0, 'é': [true, none]}|tojson }}"), "{\"a\": 1.0, \"é\": [true, null]}");
  EXPECT_EQ(render("{{ {'a': [1, {}]}|tojson(indent=2) }}"), "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
}

TEST(ChatTemplate, ScopesAndLoops) {
  EXPECT_EQ(render("{% set x = 1 %}{% for i in [1,2] %}{% set x = 5 %}{% endfor %}{{ x }}"), "1");
  EXPECT_EQ(render("{% set n = namespace(x=1) %}{% for i in [1,2] %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}"),
            "4");
  EXPECT_EQ(render("{% for i in range(9) if i is odd %}{% if i == 7 %}{% break %}{% endif %}{{ i }}{{ ',' if not "
                   "loop.last }}{% else %}none{% endfor %}"),
            "1,3,5,");
  EXPECT_EQ(render("{% macro f(a, b='z') %}[{{ a }}{{ b }}{{ caller() if caller }}]{% endmacro %}{{ f(1) }}{% call "
                   "f(2, b=3) %}!{% endcall %}"),
            "[1z][23!]");
}

TEST(ChatTemplate, StripsAsTransformersSetsIt) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a  {%- if true -%}  b  {%- endif +%}\nc"), "ab\nc");
  EXPECT_EQ(render("{# x #}\n  {{ 1 }}\n{% raw %}{{ x }}{% endraw %}"), "  1\n{{ x }}");
}

TEST(ChatTemplate, ClockIsGiven) {
  RenderOptions options;
  options.now_us = 1740182400ll * 1000000;
  EXPECT_EQ(render("{{ strftime_now('%d %b %Y') }}", "{}", options), "22 Feb 2025");
}

TEST(ChatTemplate, NamesWhatItDoesNotKnow) {
  EXPECT_NE(render("\n\n{% include 'x' %}").find("line 3: the statement `include`"), std::string::npos);
  EXPECT_NE(render("{{ 1|nosuch }}").find("no filter named 'nosuch'"), std::string::npos);
  EXPECT_NE(render("{{ raise_exception('no system') }}").find("no system"), std::string::npos);
  EXPECT_NE(render("{{ x.y }}").find("'x' is undefined"), std::string::npos);
  EXPECT_NE(render("{{ [].append(1) }}").find("append"), std::string::npos);
}

TEST(ChatTemplate, IsBounded) {
  EXPECT_NE(
      render("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}").find("more than"),
      std::string::npos);
  EXPECT_NE(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").find("nests deeper"), std::string::npos);
  EXPECT_NE(render("{{ 'x' * 1000000000000 }}").find("more than 67108864 bytes"), std::string::npos);
  EXPECT_NE(
      render("{% set n = namespace(x=[]) %}{% for i in range(1000) %}{% set n.x = [n.x] %}{% endfor %}").find("nest"),
      std::string::npos);
  EXPECT_NE(
      render(std::string("{{ ") + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}").find("nests deeper"),
      std::string::npos);
  EXPECT_NE(render("{{ 2 ** 64 }}").find("64 bits"), std::string::npos);
}

TEST(ChatTemplate, BrokenTemplatesAreErrorsNeverCrashes) {
  const std::string good =
      std::string(kReal) +
      "{% macro f(a, *b) %}{{ a|tojson(indent=2) }}{% endmacro %}{% set x = namespace(y=[1,2][::-1]) %}"
      "{% filter upper %}{{ x.y|join(', ') ~ {'a': 1}.items()|list }}{% endfilter %}{{ '%s' % 3 }}";
  Random random(5);
  RenderOptions options;
  options.limits.steps = 20000;
  const Json variables = *parse_json(R"({"messages":[{"role":"user","content":"x"}]})");
  for (int i = 0; i < 4000; ++i) {
    std::string bad = good;
    if (i % 4 == 0) bad.resize(random.below(bad.size()));
    for (int k = 0; k < 1 + i % 5; ++k) {
      if (bad.empty()) break;
      const size_t at = random.below(bad.size());
      if (random.below(2) == 0)
        bad[at] = "{}%#|()[].'\"-+ \\0ax\xFF"[random.below(20)];
      else
        bad.erase(at, 1 + random.below(4));
    }
    const auto t = ChatTemplate::parse(bad);
    if (t.ok()) (void)t->render(variables, options);
  }
}

}  // namespace
}  // namespace retort::model
