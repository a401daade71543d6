#include "app/curate_files.h"

#include <filesystem>
#include <memory>
#include <unordered_set>
#include <utility>

#include "base/folder.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/options.h"
#include "base/progress.h"
#include "record/prompt.h"

namespace retort::app {
namespace {

// Several files as one source, with a count of records for each.
class Files final : public Source<Trace> {
 public:
  Files(std::vector<std::string> paths, std::vector<int64_t>& counts) : paths_(std::move(paths)), counts_(counts) {
    counts_.assign(paths_.size(), 0);
  }
  Result<std::optional<Trace>> next() override {
    for (;;) {
      if (!open_) {
        if (at_ == paths_.size()) return std::optional<Trace>();
        RETORT_ASSIGN(open_, open_jsonl<Trace>(paths_[at_]));
      }
      RETORT_ASSIGN(std::optional<Trace> trace, open_->next());
      if (trace) {
        ++counts_[at_];
        return trace;
      }
      open_.reset();
      ++at_;
    }
  }

 private:
  std::vector<std::string> paths_;
  std::vector<int64_t>& counts_;
  std::unique_ptr<Source<Trace>> open_;
  size_t at_ = 0;
};

Result<curate::CardFile> card_file(const std::string& path, int64_t records) {
  RETORT_ASSIGN(std::string hash, sha256_file(path));
  return curate::CardFile{std::filesystem::path(path).filename().string(), std::move(hash), records};
}

Result<Tally> curate_with(const CurateJob& job, const JobPlace& place, model::Generator* grader, Env& env) {
  curate::Context context;
  context.held_out = curate::HeldOut(job.options.exclude_ngram);
  for (const std::string& path : job.exclude) {
    RETORT_ASSIGN(auto prompts, open_jsonl<Prompt>(path));
    for (;;) {
      RETORT_ASSIGN(const std::optional<Prompt> prompt, prompts->next());
      if (!prompt) break;
      context.held_out.add(curate::question_of(prompt->messages));
    }
  }
  const std::string examples = place.out + "/examples.jsonl", rejects = place.out + "/rejects.jsonl";
  curate::Card card;
  std::unique_ptr<Progress> bar;
  context.card = &card;
  context.cancel = place.cancel;
  context.progress = [&](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<Progress>("grading", total, "answers");
    bar->update(done);
  };
  context.hint = [](const std::string& text) { log::warn("{}", text); };
  std::vector<int64_t> counts;
  Files source(job.traces, counts);
  RETORT_ASSIGN(const auto kept, create_jsonl<Example>(examples, env));
  RETORT_ASSIGN(const auto dropped, create_jsonl<Reject>(rejects, env));
  RETORT_ASSIGN(Tally tally, curate::run(job.options, source, *kept, *dropped, grader, env, std::move(context)));
  RETORT_TRY(kept->close());
  RETORT_TRY(dropped->close());

  card.options = dump_options(job.options);
  card.options_hash = options_hash(job.options);
  for (size_t i = 0; i < job.traces.size(); ++i) {
    RETORT_ASSIGN(curate::CardFile file, card_file(job.traces[i], counts[i]));
    card.inputs.push_back(std::move(file));
  }
  for (const auto& [path, records] : {std::pair(examples, tally.kept), std::pair(rejects, tally.dropped)}) {
    RETORT_ASSIGN(curate::CardFile file, card_file(path, records));
    card.outputs.push_back(std::move(file));
  }
  RETORT_TRY(env.write_file(place.out + "/tally.json", to_text(encode(tally)) + "\n"));
  RETORT_TRY(env.write_file(place.out + "/data_card.json", curate::encode(card).dump(1) + "\n"));
  RETORT_TRY(env.write_file(place.out + "/data_card.md", curate::markdown(card)));
  if (tally.kept == 0) {
    log::warn("none of {} traces was kept ({}); {} says why of each", tally.in, reasons_text(tally), rejects);
  }
  return tally;
}

}  // namespace

Status CurateJob::check(Env& env) const {
  RETORT_TRY(curate::check(options));
  return check_answerer(grader, "grader_", env);
}

Result<Tally> curate_files(const CurateJob& job, const JobPlace& place, Env& env) {
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, "curate", env));
  const auto sealed = [&](Result<Tally> tally) -> Result<Tally> {
    if (!tally.ok()) return tally;
    RETORT_TRY(folder.seal({{"examples.jsonl", ""},
                            {"rejects.jsonl", ""},
                            {"tally.json", ""},
                            {"data_card.json", ""},
                            {"data_card.md", ""}}));
    return tally;
  };
  if (!job.grader.given()) return sealed(curate_with(job, place, nullptr, env));
  RETORT_ASSIGN(const auto grader,
                open_answerer(job.grader, {.store = place.work + "/grader.sqlite", .prefix = "grader_"}, env));
  auto tally = curate_with(job, place, &grader->generator(), env);
  const Status booked = grader->book(place.costs, place.stage, env);
  if (tally.ok()) RETORT_TRY(booked);
  return sealed(std::move(tally));
}

}  // namespace retort::app
