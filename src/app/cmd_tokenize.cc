// retort tokenize: text to token ids and back; a vocabulary learned from texts; any vocabulary as tokenizer.json.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "app/command.h"
#include "app/say.h"
#include "base/cancel.h"
#include "base/text.h"
#include "model/bpe_trainer.h"
#include "model/tokenizer_load.h"

namespace retort::app {
namespace {

struct Flags {
  std::string model, write;
  int learn = 0;
  std::vector<std::string> special;
  bool json = false;
  bool no_special = false;
};

Result<Json> answer(const model::Tokenizer& tokenizer, const Json& row, bool no_special) {
  if (const Json* ids = find(row, "ids")) {
    if (!ids->is_array()) return fail(Code::Invalid, "`ids` must be a list of token ids");
    std::vector<int32_t> list;
    for (const Json& id : *ids) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= tokenizer.vocab_size())
        return fail(Code::Invalid, "`ids`: {} is not a token id from 0 to {}", to_text(id), tokenizer.vocab_size() - 1);
      list.push_back(id.get<int32_t>());
    }
    return Json{{"text", tokenizer.decode(list, no_special)}};
  }
  RETORT_ASSIGN(const std::string text, need_string(row, "text"));
  RETORT_ASSIGN(const auto made, tokenizer.encode(text, !no_special));
  return Json{{"ids", made}};
}

Result<int> write_to(const std::string& path, const model::Tokenizer& tokenizer) {
  RETORT_TRY(system_env().write_file(path, tokenizer.to_json()));
  say_error("{}: {} tokens\n", path, tokenizer.vocab_size());
  return 0;
}

Result<int> learn(const Flags& flags) {
  if (flags.write.empty()) return fail(Code::Invalid, "--learn needs --write FILE for the tokenizer.json it makes");
  std::vector<std::string> texts;
  std::string line;
  while (std::getline(std::cin, line)) {
    if (flags.json) {
      RETORT_ASSIGN(const Json row, parse_json(line));
      RETORT_ASSIGN(line, need_string(row, "text"));
    }
    texts.push_back(std::move(line));
  }
  model::BpeTraining options;
  options.vocab_size = flags.learn;
  options.special_tokens = flags.special;
  RETORT_ASSIGN(const model::Tokenizer tokenizer, model::train_bpe(texts, options));
  return write_to(flags.write, tokenizer);
}

Result<int> run(const Flags& flags) {
  if ((flags.learn > 0) != flags.model.empty()) return fail(Code::Invalid, "give either --model or --learn SIZE");
  if (flags.learn > 0) return learn(flags);
  RETORT_ASSIGN(const model::TextParts parts, model::load_text(flags.model, system_env()));
  const model::Tokenizer& tokenizer = parts.tokenizer;
  if (!flags.write.empty()) return write_to(flags.write, tokenizer);
  if (!flags.json) {
    const std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    std::string out;
    RETORT_ASSIGN(const auto ids, tokenizer.encode(text, !flags.no_special));
    for (const int32_t id : ids) out += fmt::format("{}\n", id);
    std::fwrite(out.data(), 1, out.size(), stdout);
    return 0;
  }
  std::string line;
  int status = 0;
  while (std::getline(std::cin, line)) {
    if (process_cancel().requested()) return fail(Code::Cancelled, "stopped");
    if (trim(line).empty()) continue;
    // A broken line is answered in its place, so that output lines match input lines.
    const auto reply = [&]() -> Result<Json> {
      RETORT_ASSIGN(const Json row, parse_json(to_utf8(line)));
      return answer(tokenizer, row, flags.no_special);
    }();
    if (!reply.ok()) status = exit_status(reply.error().code);
    const std::string out = to_text(reply.ok() ? *reply : Json{{"error", reply.error().message}}) + "\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
  }
  return status;
}

}  // namespace

Command tokenize_command() {
  return {"tokenize", "turn text into token ids and back", [](CommandLine& cli) -> std::function<Result<int>()> {
            auto flags = std::make_shared<Flags>();
            cli.add_option("--model", flags->model, "a model's folder, a GGUF or a tokenizer.json");
            cli.add_option("--write", flags->write, "write the vocabulary to this file as a tokenizer.json and end");
            cli.add_option("--learn", flags->learn, "learn a vocabulary of this size from the lines of standard input")
                ->range(1, 1 << 20);
            cli.add_option("--special", flags->special, "with --learn: special tokens, which get the ids 0, 1, ...");
            cli.add_flag("--json", flags->json, "one object a line: {text} to {ids}, {ids} to {text}");
            cli.add_flag("--no-special", flags->no_special,
                         "ids: add no BOS or EOS of the tokenizer's own; text: leave special tokens out");
            return [flags] { return run(*flags); };
          }};
}

}  // namespace retort::app
