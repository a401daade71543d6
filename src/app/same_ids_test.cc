// A student is asked in the ids that it was taught. For every template in ../shared/data/chat_templates and some more,
// on several tokenizers: what the trainer learns is the prompt as the engine serves it, then tokens from which the
// engine makes that answer, then a token at which it ends; and the answer with its end is what counts in the loss.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/random.h"
#include "infer/engine.h"
#include "infer/text_stream.h"
#include "model/bpe_trainer.h"
#include "model/chat_turn.h"
#include "model/hf_directory.h"
#include "model/model.h"
#include "model/tokenizer_load.h"
#include "tests/data.h"
#include "train/data.h"
#include "train/student.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string today() {
  const auto now = std::chrono::system_clock::time_point(std::chrono::microseconds(system_env().wall_us()));
  const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(now)};
  return fmt::format("{:04}-{:02}-{:02}", int(day.year()), unsigned(day.month()), unsigned(day.day()));
}

// As newer reasoning models have it: the prompt opens the thought, or with enable_thinking=false closes it at once.
constexpr const char* kThinks =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% if enable_thinking is defined and not "
    "enable_thinking %}\n\n</think>\n\n{% endif %}{% endif %}";

// A folder with random weights around this tokenizer and template.
void write_model(const std::string& folder, const model::Tokenizer& tokenizer, const std::string& chat_template,
                 std::vector<int32_t> ends) {
  model::HfDirectory out;
  model::Config& c = out.config;
  c.vocab_size = tokenizer.vocab_size();
  c.hidden_size = 16;
  c.layers = 1;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_dim = 8;
  c.ffn_size = 16;
  c.max_context = 16384;
  c.tied_embeddings = true;
  c.eos_ids = std::move(ends);
  for (const auto& expected : model::expected_tensors(c)) {
    Random random(1, fnv1a(expected.name));
    std::vector<float> values(static_cast<size_t>(*model::weight_count(expected.shape)));
    for (float& v : values) v = static_cast<float>(random.normal());
    out.tensors.push_back({expected.name, model::make_tensor(expected.shape, std::move(values))});
  }
  out.text = model::text_files(tokenizer, chat_template);
  const Status written = model::write_hf_directory(folder, out, true, system_env());
  ASSERT_TRUE(written.ok()) << written.error().message;
}

struct Question {
  std::string what;
  std::vector<Message> messages;
};

std::vector<Question> questions() {
  const Message system{"system", "Be brief.", "", nullptr}, first{"user", "What is 2 + 2?", "", nullptr},
      thought{"assistant", "It is 4.", "Two and two.", nullptr}, plain{"assistant", "It is 4.", "", nullptr},
      second{"user", "And <think> of 3 + 3, naïve one?", "", nullptr};
  return {{"alone", {first}},
          {"system", {system, first}},
          {"turns", {first, plain, second}},
          {"system and turns with thought", {system, first, thought, second}}};
}

struct Parts {
  std::shared_ptr<const model::Model> model;
  std::unique_ptr<infer::Engine> engine;
  std::unique_ptr<train::Student> student;
  train::Options options;
};

Parts open_parts(const std::string& folder, const std::vector<std::string>& variables) {
  Parts p;
  p.options.date = today();
  p.options.max_length = 16384;
  p.options.template_variables = variables;
  auto loaded = model::load_model(folder);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  p.model = std::make_shared<const model::Model>(std::move(*loaded));
  auto engine = infer::Engine::create(p.model, {.threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.error().message;
  p.engine = std::move(*engine);
  auto student = train::load_student(p.options, folder);
  EXPECT_TRUE(student.ok()) << student.error().message;
  p.student = std::make_unique<train::Student>(std::move(*student));
  return p;
}

// The prompt's ids as the engine makes them, or why it refuses them.
Result<std::vector<int32_t>> served(const Parts& p, const std::vector<Message>& messages) {
  model::Request request;
  request.messages = messages;
  request.template_variables = train::chat_settings(p.options)->variables;
  request.sampling.max_tokens = 1;
  request.prompt_logprobs = true;
  RETORT_ASSIGN(const model::Reply reply, model::generate(*p.engine, std::move(request)));
  std::vector<int32_t> ids;
  for (const model::Token& token : reply.prompt_tokens) ids.push_back(token.id);
  return ids;
}

// Whether a tokenizer gives back what it was given: torchtitan-test has no token for a space.
bool keeps_text(const model::Tokenizer& tokenizer) {
  const std::string text = "It is\n\n\xC3\xA9t.";
  const auto ids = tokenizer.encode(text, false);
  return ids.ok() && tokenizer.decode(*ids, false) == text;
}

// How many conversations the template took, each held to the property, and what it said of the last it did not take.
int check(const Parts& p, const std::string& where, std::string& refused) {
  int taken = 0;
  const std::vector<int32_t> ends = model::end_ids(p.model->config, p.model->tokenizer);
  const auto is_end = [&](int32_t id) { return std::find(ends.begin(), ends.end(), id) != ends.end(); };
  for (const Question& question : questions()) {
    const auto prompt = served(p, question.messages);
    for (const char* format : {"think", "plain", "answer"}) {
      for (const char* reasoning : {"", "Three\n\nand three: <|im_end|>."}) {
        SCOPED_TRACE(fmt::format("{}, {}, {}, thought `{}`", where, question.what, format, reasoning));
        Example example;
        example.messages = question.messages;
        example.reasoning = reasoning;
        example.content = "It is \\boxed{6}, \xC3\xA9t <|user|>";
        train::Options options = p.options;
        options.format = format;
        train::DataSummary summary;
        const auto samples = train::make_samples({example}, p.student->maker, options, summary);
        EXPECT_EQ(samples.ok(), prompt.ok()) << (samples.ok() ? prompt.error() : samples.error()).message;
        if (!samples.ok() || !prompt.ok()) {
          refused = samples.ok() ? "" : samples.error().message;
          continue;
        }
        ++taken;
        const train::Sample& sample = samples->at(0);
        const auto answer = sample.ids.begin() + sample.answer;
        EXPECT_EQ(std::vector<int32_t>(sample.ids.begin(), answer), *prompt);

        // What the engine makes of the rest, token by token.
        EXPECT_EQ(std::find_if(answer, sample.ids.end(), is_end), sample.ids.end() - 1);
        const auto turn = model::chat_prompt(p.model->tokenizer, *p.model->chat_template, question.messages,
                                             p.student->maker.settings);
        infer::TextStream stream({}, true, turn->in_thought);
        infer::TextPiece said;
        for (auto id = answer; id + 1 < sample.ids.end(); ++id)
          stream.push(model::shown_bytes(p.model->tokenizer, *id), said);
        stream.finish(said);
        const train::Answer wanted = train::answer_of(example, format);
        if (keeps_text(p.model->tokenizer)) {
          EXPECT_EQ(said.reasoning, wanted.reasoning);
          EXPECT_EQ(said.content, wanted.content);
        }

        const train::Plan plan(*samples, options, train::shape(p.student->config), {});
        const train::MicroBatch batch = plan.micro_batch({0});
        for (size_t t = 0; t < batch.ids.size(); ++t) {
          const bool learned = t + 1 < batch.ids.size() && t + 1 >= static_cast<size_t>(sample.answer);
          EXPECT_EQ(batch.targets[t], learned ? batch.ids[t + 1] : -1);
        }
      }
    }
  }
  return taken;
}

struct NamedTokenizer {
  std::string name;
  model::Tokenizer tokenizer;
};

std::vector<NamedTokenizer> tokenizers() {
  std::vector<NamedTokenizer> all;
  for (const char* name : {"minimind", "torchtitan-test"}) {
    auto parts = model::load_text(testing_data::shared(std::string("tokenizers/hf/") + name), system_env());
    EXPECT_TRUE(parts.ok()) << name << ": " << parts.error().message;
    if (parts.ok()) all.push_back({name, parts->tokenizer});
  }
  model::BpeTraining training;
  training.special_tokens = {"<|end|>",    "<|im_start|>", "<|im_end|>",          "<think>",          "</think>",
                             "<|eot_id|>", "<|user|>",     "<|start_header_id|>", "<|end_header_id|>"};
  training.eos_token = "<|end|>";
  training.vocab_size = 300;
  all.push_back({"bytes", *model::train_bpe({"What is 2 + 2? Two and two."}, training)});
  return all;
}

TEST(SameIds, OverEveryTemplate) {
  RETORT_SHARED_OR_SKIP(folder, "chat_templates");
  std::vector<std::pair<std::string, std::string>> templates = {
      {"opens the thought", kThinks},
      {"SmolLM2", read(testing_data::shared("tokenizers/hf/smollm2/chat_template.jinja"))},
      {"SmolLM3", read(testing_data::shared("tokenizers/hf/smollm3/chat_template.jinja"))}};  // shows the date
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".jinja") templates.emplace_back(entry.path().filename(), read(entry.path()));
  ASSERT_EQ(templates.size(), 14u);
  const std::string place = testing::TempDir() + "retort_same_ids";
  for (const NamedTokenizer& one : tokenizers()) {
    std::vector<int32_t> ends = {one.tokenizer.eos_id()};
    for (const char* mark : {"<|im_end|>", "<|eot_id|>"})
      if (const auto id = one.tokenizer.id_of(mark)) ends.push_back(*id);
    ASSERT_GE(ends[0], 0) << one.name;
    for (const auto& [name, source] : templates) {
      write_model(place, one.tokenizer, source, ends);
      for (const std::vector<std::string>& variables :
           {std::vector<std::string>{}, {"enable_thinking=false", "date_string=22 Feb 2025"}}) {
        const std::string where = fmt::format("{} on {}, {} variables", name, one.name, variables.size());
        std::vector<std::string> given = variables;
        if (name.find("firefunction") != std::string::npos)  // insists on both
          given.insert(given.end(), {"functions=no function", "datetime=a Tuesday"});
        if (one.tokenizer.bos_token().empty()) given.push_back("bos_token=<|im_start|>");  // some insist on one
        const Parts parts = open_parts(place, given);
        // Several refuse a system message; all take a question alone.
        std::string refused;
        EXPECT_GE(check(parts, where, refused), 12) << where << ": " << refused;
      }
    }
  }
  fs::remove_all(place);
}

}  // namespace
}  // namespace retort
