// Chat templates as models bring them: rendering ends within its bounds, with a text or a refusal, and gives the same
// each time.
#include "model/chat_template.h"

#include "base/fuzz/target.h"

std::vector<std::string> retort::fuzz::seeds() {
  return {
      "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' }}\n{{ message.content | trim }}{% "
      "if not loop.last %}\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
      "{%- set ns = namespace(found=false, n=1) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.n = ns.n "
      "* 2 ** 3 // 2 % 7 -%}{%- endfor -%}{{- ns.n ~ ns.found -}}",
      "{% macro part(a, b='x', *args, **kwargs) %}{{ a }}{{ b | upper }}{{ args }}{{ caller() if caller }}{% endmacro "
      "%}{{ part(1, b='q') }}{% call part(2) %}in{% endcall %}",
      "{{ messages | map(attribute='content') | join(', ') | replace('a', 'b') | tojson(indent=2) }}{{ [1, 2.5, none, "
      "true][::-1] }}",
      "{{ tools | default([]) | length }}{{ 'a' in 'abc' and 3 not in [1, 2] or x is defined }}{{ "
      "raise_exception('no') if false }}",
      "{% filter upper %}{% raw %}{{ x }}{% endraw %}{% endfilter %}{# note #}{% with a = {'k': (1, 2)} %}{{ a.k[0] "
      "}}{{ a.items() | list }}{% endwith %}",
      "{{ '%s %d' | format('a', 3) }}{{ 'Abc'.split('b')[1].strip().startswith('c') }}{{ strftime_now('%Y-%m-%d') }}{{ "
      "range(3) | sum }}",
      "{% set text %}{{ messages[0]['content'][1:-1] }}{% endset %}{{ text if text is string else 'x' }}{% break %}",
      "{{ messages | selectattr('role', 'equalto', 'user') | list | last | dictsort | batch(2) | list }}{{ -3 | abs "
      "}}{{ 7 | round(1) }}{{ 1 < 2 < 3 }}"};
}

// What the conversation below may add to the limits.
constexpr int64_t kAllowedSteps = 50'000;
constexpr size_t kAllowedBytes = 1 << 20;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const auto parsed = model::ChatTemplate::parse(fuzz::text_of(data, size));
  if (!parsed.ok()) {
    fuzz::check_refusal(parsed.error());
    return 0;
  }
  Json extra = {{"x", {{"a", 1}, {"b", {1, 2, 3}}}}, {"n", 3}};
  const Json variables = model::chat_variables({{"system", "be brief", "", nullptr},
                                                {"user", "2 < 3 & \"caf\xC3\xA9\"", "", nullptr},
                                                {"assistant", "yes", "I think", nullptr}},
                                               true, "<s>", "</s>", extra);
  model::RenderOptions options;
  options.now_us = 1'770'000'000'000'000;
  options.limits = {.steps = 20'000, .depth = 200, .output_bytes = 16 << 10, .bytes = 256 << 10};
  model::RenderUse use, use_again;
  options.use = &use;
  const auto text = parsed->render(variables, options);
  options.use = &use_again;
  const auto again = parsed->render(variables, options);
  RETORT_CHECK(use.steps == use_again.steps && use.bytes == use_again.bytes);
  RETORT_CHECK(text.ok() == again.ok());
  if (text.ok())
    RETORT_CHECK(*text == *again && text->size() <= options.limits.output_bytes && text->size() <= use.bytes &&
                 use.steps <= options.limits.steps + kAllowedSteps &&
                 use.bytes <= options.limits.bytes + kAllowedBytes);
  else
    fuzz::check_refusal(text.error());
  return 0;
}
