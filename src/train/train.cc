#include "train/train.h"

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/log.h"
#include "base/options.h"
#include "base/random.h"
#include "base/task_pool.h"
#include "train/backend.h"
#include "train/schedule.h"
#include "train/student.h"

namespace retort::train {
namespace {

constexpr const char* kTrainMark = "train";  // who made the folder, in its mark
constexpr int kDefaultLength = 2048;
constexpr double kScratchLr = 2e-3, kFullLr = 5e-5, kLoraLr = 3e-4;

double peak_lr(const Options& o, const Task& task) {
  if (o.optimizer.lr > 0) return o.optimizer.lr;
  return task.base.empty() ? kScratchLr : o.method == "lora" ? kLoraLr : kFullLr;
}

// What a resumed run must share with the one that wrote the checkpoint. The count of threads is none of it: it changes
// roundings at most, and a machine that is given fewer cores must be able to go on.
std::string fingerprint(const Options& options, const Student& student, const std::vector<Sample>& samples) {
  Options same = options;
  same.checkpoint = {};
  same.threads = 0;
  Sha256 hash;
  hash.update(options_hash(same));
  hash.update(student.fingerprint);
  for (const Sample& s : samples) {
    hash.update({reinterpret_cast<const char*>(s.ids.data()), s.ids.size() * sizeof(int32_t)});
    hash.update(fmt::format("|{}|", s.answer));
  }
  return hash.finish();
}

// A starts as uniform noise in +-1/sqrt(in) (PEFT's Kaiming-uniform with a = sqrt(5)), B as zeros.
void start_adapters(std::span<float> weights, const Layout& layout, uint64_t seed) {
  for (size_t i = 0; i < layout.params.size(); i += 2) {
    const Param& a = layout.params[i];
    Random random(seed, fnv1a(a.name));
    const double bound = 1.0 / std::sqrt(static_cast<double>(a.cols));
    for (int64_t j = 0; j < a.size(); ++j)
      weights[static_cast<size_t>(a.offset + j)] = static_cast<float>((2 * random.uniform() - 1) * bound);
  }
}

std::string log_text(const std::vector<LogRow>& log) {
  std::string text;
  for (const LogRow& row : log) text += to_text(encode(row)) + "\n";
  return text;
}

// The folder beside `out` with checkpoints, the log and the record of lost work. Held from its making to its end.
class Workspace {
 public:
  Workspace(Folder held, Env& env) : held_(std::move(held)), env_(env) {}

  // The newest checkpoint that fits, or an empty Journal; counts what the log shows beyond it as lost. Checkpoints of
  // other options, examples or versions are somebody's hours of work: the whole folder is set aside, nothing goes.
  Result<Journal> open(const std::string& fingerprint, const State& state) {
    RETORT_ASSIGN(const auto names, env_.list_directory(held_.path()));
    Journal journal;
    journal.fingerprint = fingerprint;
    std::vector<std::string> unfit;
    bool foreign = false;
    for (auto name = names.rbegin(); name != names.rend() && journal.log.empty(); ++name) {
      if (!checkpoint_step(*name)) continue;
      auto read = read_checkpoint(path(*name), fingerprint, state);
      if (read.ok()) {
        journal = std::move(*read);
      } else if (read.error().code == Code::Invalid || read.error().code == Code::Corrupt) {
        foreign = foreign || read.error().code == Code::Invalid;
        unfit.push_back(*name);
        log::warn("not used: {}", read.error().message);
      } else {
        return std::move(read).error();
      }
    }
    if (foreign && journal.log.empty()) {
      const std::string folder = held_.path();
      RETORT_ASSIGN(const std::string aside, held_.set_aside());
      RETORT_ASSIGN(held_, Folder::hold(folder, kTrainMark, env_));
      log::warn("training begins anew; the checkpoints that do not fit are in {}", aside);
    } else {
      // Out of the way of those to come, which are fewer steps on.
      for (const std::string& name : unfit) RETORT_TRY(env_.rename(path(name), path(name + ".unfit")));
    }
    RETORT_TRY(count_lost(static_cast<int64_t>(journal.log.size())));
    RETORT_TRY(env_.write_file(path("log.jsonl"), log_text(journal.log)));
    RETORT_ASSIGN(log_, env_.append_file(path("log.jsonl"), false));
    return journal;
  }

  Status append(const LogRow& row) { return log_->append(to_text(encode(row)) + "\n"); }

  Status save(const Journal& journal, const State& state, int keep) {
    RETORT_TRY(write_checkpoint(path(checkpoint_name(static_cast<int64_t>(journal.log.size()))), journal, state, env_));
    RETORT_ASSIGN(const auto names, env_.list_directory(held_.path()));
    int seen = 0;
    for (auto name = names.rbegin(); name != names.rend(); ++name)
      if (checkpoint_step(*name) && ++seen > std::max(1, keep)) RETORT_TRY(remove_made(path(*name), env_));
    return {};
  }

  std::string path(const std::string& name) const { return held_.path() + "/" + name; }
  // The model is in place: what keeps the folder from going is worth no failure.
  void remove() {
    log_.reset();
    if (const Status gone = remove_made(held_.path(), env_); !gone.ok())
      log::warn("{} stays: {}", held_.path(), gone.error().message);
  }
  int64_t lost_steps = 0, lost_tokens = 0;
  double lost_flops = 0, lost_seconds = 0;

 private:
  // Rows of the log past the checkpoint go to lost.jsonl, which outlives further interruptions.
  Status count_lost(int64_t done) {
    RETORT_ASSIGN(std::string lost, read("lost.jsonl"));
    RETORT_ASSIGN(const std::string rows, read("log.jsonl"));
    for_rows(rows, [&](const LogRow& row, std::string_view line) {
      if (row.step > done) lost += std::string(line) + "\n";
    });
    for_rows(lost, [&](const LogRow& row, std::string_view) {
      ++lost_steps;
      lost_tokens += row.tokens;
      lost_flops += row.flops;
      lost_seconds += row.seconds;
    });
    return lost.empty() ? Status() : env_.write_file(path("lost.jsonl"), lost);
  }

  Result<std::string> read(const std::string& name) {
    if (!env_.exists(path(name))) return std::string();
    return env_.read_file(path(name));
  }

  template <class F>
  static void for_rows(const std::string& text, F&& f) {
    for (const std::string_view line : split(text, '\n')) {
      const auto json =
          line.empty() ? Result<Json>(Json()) : parse_json(line);  // the last line may be torn: no loss known
      LogRow row;
      if (json.ok() && json->is_object() && decode(*json, row).ok()) f(row, line);
    }
  }

  Folder held_;
  Env& env_;
  std::unique_ptr<AppendFile> log_;
};

// Runs the plan from where `journal` stands to its end.
class Loop {
 public:
  Loop(const Options& options, double lr, Plan& plan, Backend& backend, Workspace& workspace, Journal& journal,
       Env& env, const Cancel& cancel)
      : options_(options),
        lr_(lr),
        plan_(plan),
        backend_(backend),
        workspace_(workspace),
        journal_(journal),
        env_(env),
        cancel_(cancel) {}

  Status run(const std::function<void(const Snapshot&)>& watch) {
    Snapshot shot;
    shot.steps = plan_.steps();
    shot.tokens = plan_.tokens();
    for (const LogRow& row : journal_.log) shot.tokens_done += row.tokens;
    const int64_t before = shot.tokens_done, begin = env_.monotonic_us();
    int64_t saved_at = begin;
    while (static_cast<int64_t>(journal_.log.size()) < plan_.steps()) {
      RETORT_ASSIGN(const bool done, step());
      const int64_t now = env_.monotonic_us(), at = static_cast<int64_t>(journal_.log.size());
      if (!done) {
        RETORT_TRY(save());
        return fail(Code::Cancelled, "training stopped after step {} of {}; the same command goes on from there", at,
                    plan_.steps());
      }
      RETORT_TRY(workspace_.append(journal_.log.back()));
      if (watch) {
        shot.row = journal_.log.back();
        shot.tokens_done += shot.row.tokens;
        shot.tokens_per_second = static_cast<double>(shot.tokens_done - before) /
                                 (1e-6 * static_cast<double>(std::max<int64_t>(1, now - begin)));
        watch(shot);
      }
      const CheckpointOptions& c = options_.checkpoint;
      const bool by_steps = c.every_steps > 0 && at % c.every_steps == 0;
      const bool by_time = c.every_s > 0 && static_cast<double>(now - saved_at) >= c.every_s * 1e6;
      if (by_steps || by_time || at == plan_.steps()) {
        RETORT_TRY(save());
        saved_at = env_.monotonic_us();
      }
    }
    return {};
  }

 private:
  Status save() {
    return workspace_.save(
        journal_, {backend_.part(Part::Weights), backend_.part(Part::FirstMoment), backend_.part(Part::SecondMoment)},
        options_.checkpoint.keep);
  }

  // False where somebody asked to stop: the weights are then those of the last whole step.
  Result<bool> step() {
    const auto index = static_cast<int64_t>(journal_.log.size());
    const Step step = plan_.step(index);
    const int64_t begin = env_.monotonic_us();
    double loss = 0;
    for (const auto& micro : step.micro) {
      if (cancel_.requested()) return false;
      RETORT_ASSIGN(const double sum,
                    backend_.accumulate(plan_.micro_batch(micro), 1.0 / static_cast<double>(step.targets)));
      loss += sum;
    }
    if (cancel_.requested()) return false;
    LogRow row;
    row.step = index + 1;
    row.loss = loss / static_cast<double>(step.targets);
    row.lr = lr_ * learning_rate_factor(options_.schedule, row.step, plan_.steps());
    if (!std::isfinite(row.loss))
      return fail(Code::Invalid, "the loss is {} at step {}; lower optimizer.lr (now {})", row.loss, row.step, row.lr);
    Update update;
    update.step = row.step;
    update.lr = row.lr;
    update.beta1 = options_.optimizer.beta1;
    update.beta2 = options_.optimizer.beta2;
    update.eps = options_.optimizer.eps;
    update.weight_decay = options_.optimizer.weight_decay;
    update.clip = options_.optimizer.clip;
    RETORT_ASSIGN(row.grad_norm, backend_.update(update));
    row.tokens = step.tokens;
    row.targets = step.targets;
    row.flops = step.flops;
    row.seconds = 1e-6 * static_cast<double>(env_.monotonic_us() - begin);
    journal_.log.push_back(row);
    return true;
  }

  const Options& options_;
  double lr_;
  Plan& plan_;
  Backend& backend_;
  Workspace& workspace_;
  Journal& journal_;
  Env& env_;
  const Cancel& cancel_;
};

void sum_up(Report& report) {
  report.steps = static_cast<int64_t>(report.log.size());
  for (const LogRow& row : report.log) {
    report.tokens += row.tokens;
    report.target_tokens += row.targets;
    report.flops += row.flops;
    report.seconds += row.seconds;
  }
  if (report.log.empty()) return;
  report.first_loss = report.log.front().loss;
  double weighted = 0, weight = 0;
  for (size_t i = report.log.size() - std::max<size_t>(1, report.log.size() / 10); i < report.log.size(); ++i) {
    weighted += report.log[i].loss * static_cast<double>(report.log[i].targets);
    weight += static_cast<double>(report.log[i].targets);
  }
  report.last_loss = weighted / weight;
}

}  // namespace

Result<Folder> hold_workspace(const Task& task, Env& env) {
  const std::string out = without_slash(task.out);
  if (out.empty()) return fail(Code::Invalid, "no output directory; name one");
  return Folder::hold(out + ".training", kTrainMark, env);
}

Status check(const Options& o) {
  RETORT_TRY(check_options(o));
  RETORT_TRY(check_threads(o.threads));
  RETORT_TRY(chat_settings(o));
  return check(o.schedule);
}

Json encode(const Report& r) {
  return {{"steps", r.steps},
          {"parameters", r.parameters},
          {"trained_parameters", r.trained_parameters},
          {"tokens", r.tokens},
          {"target_tokens", r.target_tokens},
          {"flops", r.flops},
          {"first_loss", r.first_loss},
          {"last_loss", r.last_loss},
          {"data",
           {{"examples", r.data.examples},
            {"cut", r.data.cut},
            {"cut_tokens", r.data.cut_tokens},
            {"skipped", r.data.skipped},
            {"tokens", r.data.tokens},
            {"target_tokens", r.data.target_tokens}}},
          {"run",
           {{"seconds", r.seconds},
            {"resumed_from", r.resumed_from},
            {"threads", encode(r.threads)},
            {"lost_steps", r.lost_steps},
            {"lost_tokens", r.lost_tokens},
            {"lost_flops", r.lost_flops},
            {"lost_seconds", r.lost_seconds}}}};
}

Result<Report> run(const Options& given, const Task& task, Source<Example>& source,
                   const std::function<void(const Snapshot&)>& watch, Env& env, const Cancel& cancel) {
  RETORT_TRY(check(given));
  Options options = given;
  const std::string out = without_slash(task.out);
  RETORT_ASSIGN(Folder held, hold_workspace(task, env));
  RETORT_TRY(held.survey());
  Workspace workspace(std::move(held), env);
  if (env.exists(out) && !task.replace)
    return fail(Code::Invalid, "{} exists; choose another directory or allow its replacement", out);
  RETORT_TRY(model::check_replaceable(out, task.replace, env));
  const bool lora = options.method == "lora";
  if (lora && task.base.empty()) return fail(Code::Invalid, "method lora needs a base model; give one or choose full");

  Report report;
  RETORT_ASSIGN(const std::vector<Example> examples, read_all(source));
  RETORT_ASSIGN(Student student, task.base.empty() ? new_student(options, task.tokenizer, examples, env)
                                                   : load_student(options, task.base));
  if (options.max_length == 0) options.max_length = std::min(kDefaultLength, student.config.max_context);
  if (options.max_length > student.config.max_context)
    return fail(Code::Invalid, "max_length {} passes the model's context of {}; lower it", options.max_length,
                student.config.max_context);
  RETORT_ASSIGN(std::vector<Sample> samples, make_samples(examples, student.maker, options, report.data));

  if (report.data.cut * 2 > report.data.examples)
    log::warn("{} of {} examples are cut at {} tokens, {} tokens are lost; raise `max_length` where that is not meant",
              report.data.cut, report.data.examples, options.max_length, report.data.cut_tokens);

  BackendSpec spec;
  spec.shape = shape(student.config);
  if (lora) spec.lora = {options.lora.rank, options.lora.alpha, options.lora.targets};
  if (lora && options.lora.rank < 1) return fail(Code::Invalid, "lora.rank {} must be 1 or more", options.lora.rank);
  spec.threads = options.threads > 0 ? options.threads : available_threads();
  const std::string mark = fingerprint(options, student, samples);
  const int threads = spec.threads;
  const Shape model_shape = spec.shape;
  const LoraShape lora_shape = spec.lora;
  std::vector<float> frozen;
  if (lora) frozen = student.weights;
  report.parameters = static_cast<int64_t>(student.weights.size());
  spec.weights = std::move(student.weights);
  RETORT_ASSIGN(const auto backend, open_backend(std::move(spec)));
  report.trained_parameters = backend->layout().size;
  if (lora) start_adapters(backend->part(Part::Weights), backend->layout(), options.seed);

  RETORT_TRY(check_plan(samples, options, model_shape, lora_shape));
  Plan plan(std::move(samples), options, model_shape, lora_shape);
  RETORT_ASSIGN(Journal journal, workspace.open(mark, {backend->part(Part::Weights), backend->part(Part::FirstMoment),
                                                       backend->part(Part::SecondMoment)}));
  report.resumed_from = static_cast<int64_t>(journal.log.size());
  if (journal.threads.empty() || journal.threads.back().count != threads) {
    if (!journal.threads.empty())
      log::info("goes on with {} threads where {} were before: sums may be rounded otherwise from step {} on", threads,
                journal.threads.back().count, journal.log.size() + 1);
    journal.threads.push_back({report.resumed_from, threads});
  }
  Loop loop(options, peak_lr(options, task), plan, *backend, workspace, journal, env, cancel);
  RETORT_TRY(loop.run(watch));

  report.log = std::move(journal.log);
  report.threads = std::move(journal.threads);
  report.lost_steps = workspace.lost_steps;
  report.lost_tokens = workspace.lost_tokens;
  report.lost_flops = workspace.lost_flops;
  report.lost_seconds = workspace.lost_seconds;
  sum_up(report);
  const std::span<const float> trained = backend->part(Part::Weights);
  if (lora) merge(frozen, model_shape, trained, lora_shape);
  model::HfDirectory content = directory(student, lora ? std::span<const float>(frozen) : trained);
  if (lora) content.adapter = adapter(model_shape, lora_shape, trained, task.base);
  content.extra_files = task.extra_files;
  content.extra_files.emplace_back("train_log.jsonl", log_text(report.log));
  content.extra_files.emplace_back("train_report.json", encode(report).dump(2) + "\n");
  RETORT_TRY(write_hf_directory(out, content, task.replace, env));
  workspace.remove();
  return report;
}

}  // namespace retort::train
