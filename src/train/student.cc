#include "train/student.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/options.h"
#include "base/random.h"
#include "model/bpe_trainer.h"
#include "model/model.h"
#include "model/tokenizer_load.h"

namespace retort::train {
namespace {

// The turns of students from scratch: each role has its mark, each turn one end token.
constexpr std::string_view kTemplate =
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
constexpr const char* kEnd = "<|end|>";
// New weights: tuned on 1 M-parameter students, where GPT-2's 0.02 throughout is too small for narrow layers.
// Linears: gain / sqrt(inputs), those that write to the residual stream further / sqrt(2 layers).
constexpr double kEmbeddingDeviation = 0.05;
constexpr double kLinearGain = 0.7;

model::Tensor view(std::span<const float> weights, const Param& p) {
  model::Tensor tensor;
  tensor.shape = p.cols == 0 ? model::Shape{p.rows} : model::Shape{p.rows, p.cols};
  tensor.bytes = {reinterpret_cast<const char*>(weights.data() + p.offset),
                  static_cast<size_t>(p.size()) * sizeof(float)};
  return tensor;
}

Result<model::Tokenizer> learn_tokenizer(const Options& options, const std::vector<Example>& examples) {
  const model::ChatPrompt kNewTurn = {{}, false, "<think>\n"};  // kTemplate opens no thought
  std::vector<std::string> texts;
  for (const Example& e : examples) {
    for (const Message& m : e.messages) texts.push_back(m.content);
    const Answer answer = answer_of(e, options.format);
    texts.push_back(model::answer_text(kNewTurn, answer.reasoning, answer.content));
  }
  model::BpeTraining training;
  training.vocab_size = options.scratch.vocab_size;
  training.special_tokens = {kEnd, "<|user|>", "<|assistant|>", "<|system|>"};
  training.eos_token = kEnd;
  return model::train_bpe(texts, training);
}

void fill_new(std::vector<float>& weights, const Shape& s, uint64_t seed) {
  const Layout layout = model_layout(s);
  weights.assign(static_cast<size_t>(layout.size), 1.0f);
  for (const Param& p : layout.params) {
    if (p.cols == 0) continue;
    const bool into_residual =
        p.name.find("o_proj") != std::string::npos || p.name.find("down_proj") != std::string::npos;
    const bool table = p.name.find("embed_tokens") != std::string::npos;
    const double deviation = table
                                 ? kEmbeddingDeviation
                                 : kLinearGain / std::sqrt(static_cast<double>(p.cols) *
                                                           (into_residual ? 2.0 * static_cast<double>(s.layers) : 1.0));
    Random random(seed, fnv1a(p.name));
    for (int64_t i = 0; i < p.size(); ++i)
      weights[static_cast<size_t>(p.offset + i)] = static_cast<float>(deviation * random.normal());
  }
}

}  // namespace

Shape shape(const model::Config& c) {
  Shape s;
  s.vocab = c.vocab_size;
  s.hidden = c.hidden_size;
  s.layers = c.layers;
  s.heads = c.heads;
  s.kv_heads = c.kv_heads;
  s.head_dim = c.head_dim;
  s.ffn = c.ffn_size;
  s.max_positions = c.max_context;
  s.norm_eps = c.rms_eps;
  s.rope_theta = c.rope_theta;
  s.tied = c.tied_embeddings;
  return s;
}

Result<Student> load_student(const Options& options, const std::string& path) {
  RETORT_ASSIGN(const model::Model base, model::load_model(path));
  RETORT_ASSIGN(const model::ChatTemplate* const chat, model::need_chat_template(base));
  RETORT_ASSIGN(model::ChatSettings settings, chat_settings(options));
  const std::vector<int32_t> ends = model::end_ids(base.config, base.tokenizer);
  if (ends.empty())
    return fail(Code::Invalid, "{} names no end token; add eos_token_id to its generation_config.json", path);
  const int32_t end = model::end_id(base.tokenizer, *chat, ends, settings);
  Student student{{base.tokenizer, *chat, std::move(settings), end}};
  student.config = base.config;
  student.generation = base.generation;
  RETORT_ASSIGN(student.text, model::text_files(base));
  student.fingerprint = base.content_hash();

  const Layout layout = model_layout(shape(base.config));
  student.weights.resize(static_cast<size_t>(layout.size));
  for (const Param& p : layout.params) {
    const model::Tensor& tensor = base.tensor(p.name);
    if (tensor.count() != p.size())
      return fail(Code::Internal, "{} has {} weights where the layout has {}", p.name, tensor.count(), p.size());
    model::to_f32(tensor, 0, tensor.rows(), student.weights.data() + p.offset);
  }
  RETORT_TRY(base.whole());
  return student;
}

Result<Student> new_student(const Options& options, const std::string& tokenizer_path,
                            const std::vector<Example>& examples, Env& env) {
  std::string source(kTemplate);
  std::optional<model::Tokenizer> tokenizer;
  if (tokenizer_path.empty()) {
    RETORT_ASSIGN(tokenizer, learn_tokenizer(options, examples));
  } else {
    RETORT_ASSIGN(auto parts, model::load_text(tokenizer_path, env));
    tokenizer = std::move(parts.tokenizer);
    if (!parts.chat_template.empty())
      source = parts.chat_template;
    else if (!tokenizer->id_of(kEnd))
      return fail(Code::Invalid, "{} has neither a chat template nor a token {}; give a tokenizer with a template",
                  tokenizer_path, kEnd);
  }
  const auto end = tokenizer->eos_id() >= 0 ? std::optional<int32_t>(tokenizer->eos_id()) : tokenizer->id_of(kEnd);
  if (!end)
    return fail(Code::Invalid, "{} names no end token; add eos_token to its tokenizer_config.json", tokenizer_path);
  auto chat = model::ChatTemplate::parse(source);
  if (!chat.ok()) return within("the student's chat template", std::move(chat).error());

  const ScratchOptions& o = options.scratch;
  if (o.heads <= 0 || o.hidden % std::max(1, o.heads) != 0)
    return fail(Code::Invalid, "scratch.hidden {} is not divided by scratch.heads {}; change one", o.hidden, o.heads);
  RETORT_ASSIGN(model::ChatSettings settings, chat_settings(options));
  Student student{{*tokenizer, *chat, std::move(settings), *end}};
  model::Config& c = student.config;
  c.vocab_size = tokenizer->vocab_size();
  c.hidden_size = o.hidden;
  c.layers = o.layers;
  c.heads = o.heads;
  c.kv_heads = o.kv_heads;
  c.head_dim = o.hidden / o.heads;
  c.ffn_size = o.ffn;
  c.rope_theta = o.rope_theta;
  c.rms_eps = 1e-5;
  c.max_context = o.max_positions;
  c.tied_embeddings = o.tied;
  c.eos_ids = {*end};
  c.pad_id = *end;
  if (tokenizer->bos_id() >= 0) c.bos_id = tokenizer->bos_id();
  RETORT_TRY(model::check(c));
  RETORT_TRY(check(shape(c)));
  student.generation.do_sample = false;
  student.text = model::text_files(*tokenizer, source);
  student.fingerprint = sha256(options_hash(o) + student.text.tokenizer_json + source);
  fill_new(student.weights, shape(c), options.seed);
  return student;
}

void merge(std::span<float> weights, const Shape& s, std::span<const float> adapters, const LoraShape& lora) {
  const Layout base = model_layout(s), layout = lora_layout(s, lora);
  const auto scale = static_cast<float>(lora.scale());
  constexpr std::string_view kPrefix = "base_model.model.";
  for (size_t i = 0; i + 1 < layout.params.size(); i += 2) {
    const Param &a = layout.params[i], &b = layout.params[i + 1];
    const std::string module =
        a.name.substr(kPrefix.size(), a.name.size() - kPrefix.size() - std::string_view("lora_A.weight").size());
    const Param& w = *base.find(module + "weight");
    std::vector<float> sum(static_cast<size_t>(w.cols));
    for (int64_t row = 0; row < w.rows; ++row) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t r = 0; r < a.rows; ++r) {
        const float factor = adapters[static_cast<size_t>(b.offset + row * b.cols + r)];
        const float* from = adapters.data() + a.offset + r * a.cols;
        for (int64_t j = 0; j < w.cols; ++j) sum[static_cast<size_t>(j)] += factor * from[j];
      }
      float* into = weights.data() + w.offset + row * w.cols;
      for (int64_t j = 0; j < w.cols; ++j) into[j] += scale * sum[static_cast<size_t>(j)];
    }
  }
}

model::HfDirectory directory(const Student& student, std::span<const float> weights) {
  model::HfDirectory out;
  out.config = student.config;
  out.generation = student.generation;
  out.text = student.text;
  for (const Param& p : model_layout(shape(student.config)).params) out.tensors.push_back({p.name, view(weights, p)});
  return out;
}

model::PeftAdapter adapter(const Shape& s, const LoraShape& lora, std::span<const float> adapters,
                           const std::string& base) {
  model::PeftAdapter out;
  out.base_model = base;
  out.rank = static_cast<int>(lora.rank);
  out.alpha = lora.alpha;
  const Layout layout = lora_layout(s, lora);
  constexpr std::string_view kPrefix = "base_model.model.", kSuffix = ".lora_A.weight";
  for (size_t i = 0; i + 1 < layout.params.size(); i += 2) {
    const std::string& name = layout.params[i].name;
    out.pairs.push_back({name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()),
                         view(adapters, layout.params[i]), view(adapters, layout.params[i + 1])});
  }
  return out;
}

}  // namespace retort::train
