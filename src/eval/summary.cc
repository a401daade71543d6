#include "eval/summary.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "stats/resample.h"
#include "verify/equal.h"

namespace retort::eval {
namespace {

// The scores of one prompt, by sample.
struct Group {
  std::string task;
  std::vector<const Score*> scores;

  int64_t correct() const {
    return std::count_if(scores.begin(), scores.end(), [](const Score* s) { return s->correct; });
  }
  double mean() const { return static_cast<double>(correct()) / static_cast<double>(scores.size()); }
  // Whether the most frequent answer is right; the earliest among equals, no answer never wins over one.
  bool majority() const {
    const Score* best = nullptr;
    int most = 0;
    std::unordered_map<std::string, std::pair<int, const Score*>> count;
    for (const Score* score : scores) {
      const std::string key = verify::vote_key(score->pred);
      if (key.empty()) continue;
      auto& [n, first] = count[key];
      if (n++ == 0) first = score;
    }
    for (const Score* score : scores) {  // in sample order, so that the earliest of equals is met first
      const auto it = count.find(verify::vote_key(score->pred));
      if (it != count.end() && it->second.first > most) most = it->second.first, best = it->second.second;
    }
    return best != nullptr && best->correct;
  }
};

using Groups = std::vector<std::pair<std::string, Group>>;  // prompt id, in order of first appearance

Groups by_prompt(const std::vector<Score>& scores) {
  Groups groups;
  std::unordered_map<std::string, size_t> at;
  for (const Score& score : scores) {
    const auto [it, fresh] = at.emplace(score.prompt_id, groups.size());
    if (fresh) groups.emplace_back(score.prompt_id, Group{score.task, {}});
    groups[it->second].second.scores.push_back(&score);
  }
  for (auto& [id, group] : groups)
    std::stable_sort(group.scores.begin(), group.scores.end(),
                     [](const Score* a, const Score* b) { return a->sample < b->sample; });
  return groups;
}

Figures figures(const std::vector<const Group*>& groups) {
  Figures f;
  f.prompts = static_cast<int64_t>(groups.size());
  f.small = f.prompts < kSmall;
  if (groups.empty()) return f;
  int64_t correct = 0, truncated = 0, unanswered = 0, tokens = 0, majority = 0;
  bool agree = true;  // within every prompt all samples fare alike
  std::vector<std::vector<double>> clusters;
  f.samples = static_cast<int64_t>(groups.front()->scores.size());
  for (const Group* group : groups) {
    f.samples = std::min(f.samples, static_cast<int64_t>(group->scores.size()));
    f.scores += static_cast<int64_t>(group->scores.size());
    majority += group->majority() ? 1 : 0;
    auto& cluster = clusters.emplace_back();
    for (const Score* s : group->scores) {
      correct += s->correct ? 1 : 0;
      truncated += s->finish_reason == "length" ? 1 : 0;
      unanswered += s->pred.empty() ? 1 : 0;
      tokens += s->tokens;
      cluster.push_back(s->correct ? 1 : 0);
    }
    agree = agree && (group->correct() == 0 || group->correct() == static_cast<int64_t>(group->scores.size()));
  }
  const double n = static_cast<double>(f.scores);
  f.pass1 = static_cast<double>(correct) / n;
  f.truncated = static_cast<double>(truncated) / n;
  f.no_answer = static_cast<double>(unanswered) / n;
  f.mean_tokens = static_cast<double>(tokens) / n;
  if (agree) {
    int64_t solved = 0;
    for (const Group* group : groups) solved += group->correct() > 0 ? 1 : 0;
    f.pass1_interval = stats::wilson(solved, f.prompts);
  } else {
    const stats::Interval i = stats::clustered_mean(clusters).interval;
    f.pass1_interval = {std::clamp(i.low, 0.0, 1.0), std::clamp(i.high, 0.0, 1.0)};
  }
  f.majority = static_cast<double>(majority) / static_cast<double>(f.prompts);
  f.majority_interval = stats::wilson(majority, f.prompts);
  for (int64_t k = 1; k <= f.samples; k = k < f.samples ? std::min(k * 2, f.samples) : k + 1) {
    double sum = 0;
    for (const Group* group : groups)
      sum += stats::pass_at_k(static_cast<int64_t>(group->scores.size()), group->correct(), k);
    f.pass_at[k] = sum / static_cast<double>(f.prompts);
  }
  return f;
}

Json encode_interval(const stats::Interval& interval) { return Json::array({interval.low, interval.high}); }

Json encode_figures(const Figures& f) {
  Json pass = Json::object();
  for (const auto& [k, value] : f.pass_at) pass[std::to_string(k)] = value;
  return {{"prompts", f.prompts},
          {"scores", f.scores},
          {"samples", f.samples},
          {"pass1", f.pass1},
          {"pass1_interval", encode_interval(f.pass1_interval)},
          {"pass_at", pass},
          {"majority", f.majority},
          {"majority_interval", encode_interval(f.majority_interval)},
          {"truncated", f.truncated},
          {"no_answer", f.no_answer},
          {"mean_tokens", f.mean_tokens},
          {"small", f.small}};
}

std::string with_interval(double value, const stats::Interval& interval) {
  return fmt::format("{:5.1f} [{:4.1f}, {:5.1f}]", 100 * value, 100 * interval.low, 100 * interval.high);
}

}  // namespace

Summary summarise(const std::vector<Score>& scores) {
  Summary summary;
  if (!scores.empty()) summary.model = scores.front().model;
  const Groups groups = by_prompt(scores);
  std::map<std::string, std::vector<const Group*>> tasks;
  std::vector<const Group*> all;
  for (const auto& [id, group] : groups) {
    all.push_back(&group);
    tasks[group.task].push_back(&group);
  }
  summary.all = figures(all);
  for (const auto& [task, members] : tasks) summary.tasks[task] = figures(members);
  return summary;
}

Json encode(const Summary& summary) {
  Json tasks = Json::object();
  for (const auto& [task, f] : summary.tasks) tasks[task] = encode_figures(f);
  return {{"model", summary.model}, {"confidence", 0.95}, {"all", encode_figures(summary.all)}, {"tasks", tasks}};
}

std::string table(const Summary& summary) {
  size_t width = 4;
  for (const auto& [task, f] : summary.tasks) width = std::max(width, task.size());
  const int64_t k = summary.all.samples;
  const std::string many =
      k > 1 ? fmt::format(" {:>20} {:>8}", fmt::format("maj@{} %", k), fmt::format("pass@{}", k)) : "";
  std::string out = fmt::format("{}\n{:<{}} {:>7} {:>20}{} {:>6} {:>7} {:>8}\n", summary.model, "task", width,
                                "prompts", "pass@1 % [95%]", many, "cut %", "none %", "tokens");
  const auto line = [&](const std::string& name, const Figures& f) {
    out += fmt::format("{:<{}} {:>7} {:>20}", name, width, f.prompts, with_interval(f.pass1, f.pass1_interval));
    if (k > 1)
      out += fmt::format(" {:>20} {:>8.1f}", with_interval(f.majority, f.majority_interval),
                         100 * f.pass_at.rbegin()->second);
    out += fmt::format(" {:>6.1f} {:>7.1f} {:>8.1f}{}\n", 100 * f.truncated, 100 * f.no_answer, f.mean_tokens,
                       f.small ? "  few prompts" : "");
  };
  if (summary.all.prompts == 0) return out + "no scores\n";
  if (summary.tasks.size() > 1)
    for (const auto& [task, f] : summary.tasks) line(task.empty() ? "-" : task, f);
  line("all", summary.all);
  return out;
}

std::vector<Comparison> compare(const std::vector<Score>& a, const std::vector<Score>& b, uint64_t seed) {
  const Groups left = by_prompt(a), right = by_prompt(b);
  std::unordered_map<std::string, const Group*> find;
  for (const auto& [id, group] : right) find[id] = &group;

  struct Pair {
    const Group *a, *b;
  };
  std::map<std::string, std::vector<Pair>> tasks;
  std::map<std::string, int64_t> unpaired;
  std::vector<Pair> all;
  for (const auto& [id, group] : left) {
    const auto it = find.find(id);
    if (it == find.end()) {
      ++unpaired[group.task];
      continue;
    }
    all.push_back({&group, it->second});
    tasks[group.task].push_back(all.back());
    find.erase(it);
  }
  for (const auto& [id, group] : find) ++unpaired[group->task];

  const auto one = [&](const std::string& task, const std::vector<Pair>& pairs, int64_t alone) {
    Comparison c;
    if (!a.empty()) c.model_a = a.front().model;
    if (!b.empty()) c.model_b = b.front().model;
    c.task = task;
    c.prompts = static_cast<int64_t>(pairs.size());
    c.unpaired = alone;
    c.small = c.prompts < kSmall;
    bool single = true;
    std::vector<double> differences;
    for (const Pair& pair : pairs) {
      single = single && pair.a->scores.size() == 1 && pair.b->scores.size() == 1;
      c.a += pair.a->mean();
      c.b += pair.b->mean();
      differences.push_back(pair.b->mean() - pair.a->mean());
      const bool x = pair.a->majority(), y = pair.b->majority();
      ++(x && y ? c.both : x ? c.only_a : y ? c.only_b : c.neither);
    }
    c.test = single ? "mcnemar" : "permutation";
    if (pairs.empty()) {
      c.interval = {-1, 1};
      return c;
    }
    c.a /= static_cast<double>(c.prompts);
    c.b /= static_cast<double>(c.prompts);
    c.difference = c.b - c.a;
    const stats::Interval i = stats::paired_bootstrap(differences, seed);
    c.interval = {std::max(-1.0, i.low), std::min(1.0, i.high)};
    c.p_value =
        single ? stats::mcnemar_exact(c.only_a, c.only_b) : stats::paired_permutation(differences, seed).p_value;
    return c;
  };
  int64_t alone = 0;
  for (const auto& [task, n] : unpaired) alone += n;
  std::vector<Comparison> out{one("", all, alone)};
  if (tasks.size() > 1)
    for (const auto& [task, pairs] : tasks) out.push_back(one(task, pairs, unpaired[task]));
  return out;
}

Json encode(const Comparison& c) {
  return {{"model_a", c.model_a},
          {"model_b", c.model_b},
          {"task", c.task},
          {"prompts", c.prompts},
          {"unpaired", c.unpaired},
          {"a", c.a},
          {"b", c.b},
          {"difference", c.difference},
          {"interval", encode_interval(c.interval)},
          {"p_value", c.p_value},
          {"test", c.test},
          {"both", c.both},
          {"only_a", c.only_a},
          {"only_b", c.only_b},
          {"neither", c.neither},
          {"small", c.small}};
}

std::string table(const std::vector<Comparison>& comparisons) {
  if (comparisons.empty()) return "";
  size_t width = 4;
  for (const auto& c : comparisons) width = std::max(width, c.task.size());
  std::string out = fmt::format("A: {}\nB: {}\n{:<{}} {:>7} {:>7} {:>7} {:>22} {:>10} {:>6} {:>7} {:>7} {:>8}\n",
                                comparisons.front().model_a, comparisons.front().model_b, "task", width, "prompts",
                                "A %", "B %", "B - A [95%]", "p", "both", "only A", "only B", "neither");
  const auto line = [&](const Comparison& c) {
    out += fmt::format(
        "{:<{}} {:>7} {:>7.1f} {:>7.1f} {:>22} {:>10.3g} {:>6} {:>7} {:>7} {:>8}{}\n", c.task.empty() ? "all" : c.task,
        width, c.prompts, 100 * c.a, 100 * c.b,
        fmt::format("{:+.1f} [{:+.1f}, {:+.1f}]", 100 * c.difference, 100 * c.interval.low, 100 * c.interval.high),
        c.p_value, c.both, c.only_a, c.only_b, c.neither, c.small ? "  few prompts" : "");
  };
  for (size_t i = 1; i < comparisons.size(); ++i) line(comparisons[i]);
  line(comparisons.front());
  out += fmt::format(
      "p: {}\n", comparisons.front().test == "mcnemar" ? "exact McNemar test" : "paired permutation test over prompts");
  if (comparisons.front().unpaired > 0)
    out += fmt::format("{} prompts are in one of the two only and were left out\n", comparisons.front().unpaired);
  return out;
}

}  // namespace retort::eval
