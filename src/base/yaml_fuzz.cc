// What people write: YAML as JSON values, `--set name=value`, and both read into an Options struct. Options that were
// read are written and read back to the same; a value that was set is found where it was put.
#include "base/fuzz/target.h"
#include "base/options.h"

namespace {

struct Inner {
  double rate = 0.5;
  std::vector<std::string> names = {"a"};
  template <class V>
  void fields(V&& v) {
    v("rate", rate, "a number");
    v("names", names, "a list");
  }
};
struct Options {
  bool flag = false;
  int count = 1;
  int64_t wide = 2;
  uint64_t seed = 3;
  std::string text = "t";
  Inner inner;
  template <class V>
  void fields(V&& v) {
    v("flag", flag, "");
    v("count", count, "");
    v("wide", wide, "");
    v("seed", seed, "");
    v("text", text, "");
    v("inner", inner, "");
  }
};

void check_options(const retort::Json& json) {
  using namespace retort;
  Options options;
  if (const Status status = load_options(options, json); !status.ok()) return fuzz::check_refusal(status.error());
  Options again;
  RETORT_CHECK(load_options(again, dump_options(options)).ok());
  RETORT_CHECK(options_hash(again) == options_hash(options));
}

}  // namespace

std::vector<std::string> retort::fuzz::seeds() {
  return {"flag: true\ncount: -3\nwide: 9223372036854775807\nseed: 18446744073709551615\n",
          "text: \"quoted \\u00e9\"\ninner: {rate: 1.5e-3, names: [a, 'b', 3]}\n",
          "inner.names=a,b",
          "inner.rate=0.25",
          "text: &x word\nother: *x\n",
          "text: |\n  two\n  lines\ncount: 0x10\n",
          "- ~\n- .5\n- +3\n- 1e400\n",
          "text={a: [1, 2]}",
          "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
          "? [a]\n: b\n",
          "# only a comment\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text = fuzz::text_of(data, size);
  const auto yaml = parse_yaml(text);
  if (yaml.ok()) {
    check_options(*yaml);
    RETORT_CHECK(yaml->dump() == to_text(*yaml));  // dump() throws where a text is not UTF-8
  } else {
    fuzz::check_refusal(yaml.error());
  }
  for (const SetAs as : {SetAs::Text, SetAs::Yaml}) {
    Json into = Json::object();
    if (!apply_set(into, text, as).ok()) continue;
    const Json* at = &into;
    for (const std::string_view part : split(text.substr(0, text.find('=')), '.')) {
      at = find(*at, part);
      RETORT_CHECK(at != nullptr);
    }
    if (as == SetAs::Text) RETORT_CHECK(*at == std::string(text.substr(text.find('=') + 1)));
    check_options(into);
  }
  return 0;
}
