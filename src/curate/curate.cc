#include "curate/curate.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "curate/grader.h"
#include "curate/identity.h"
#include "curate/loop.h"
#include "verify/rule.h"

namespace retort::curate {
namespace {

struct Item {
  Trace trace;
  std::string answer, key;     // as extracted; "" where none
  std::string reason, detail;  // of the rejection, "" while alive
  std::string how;             // what vouches for it, once something does
  bool mended = false;
  bool kept = false;

  bool alive() const { return reason.empty(); }
  void drop(std::string why, std::string more = "") {
    reason = std::move(why);
    detail = std::move(more);
  }
  size_t bytes() const { return trace.reasoning.size() + trace.content.size(); }
};

using Group = std::vector<size_t>;  // the items of one prompt, in input order

void extract(Item& item, const verify::Rule& rule) {
  const auto answer = rule.extract(item.trace.content);
  item.answer = answer ? answer->text : "";
  item.key = verify::vote_key(item.answer);
}

// What one trace is dropped for, whatever the others say.
void check_alone(Item& item, const Options& options, const verify::Rule& rule, const HeldOut& held_out) {
  Trace& trace = item.trace;
  const std::string question = question_of(trace.messages);
  if (std::string why = held_out.match(question); !why.empty()) return item.drop("held_out", std::move(why));
  if (trace.finish_reason == "length") return item.drop("truncated", "the teacher's token limit cut it");
  if (trace.finish_reason == "content_filter") return item.drop("filtered", "the teacher's filter cut it");
  if (trace.finish_reason == "cancelled" || trace.finish_reason == "error")
    return item.drop("truncated", "it ended with `" + trace.finish_reason + "`");
  if (verify::strip_thought(trace.content).cut_thought) return item.drop("truncated", "its thought has no end");
  if (trim(trace.content).empty()) return item.drop("no_answer", "nothing follows the thought");
  if (item.bytes() < static_cast<size_t>(options.min_chars))
    return item.drop("too_short", fmt::format("{} bytes", item.bytes()));
  if (item.bytes() > static_cast<size_t>(options.max_chars))
    return item.drop("too_long", fmt::format("{} bytes", item.bytes()));
  const LoopLimits limits{options.loop_repeats, options.loop_bytes, options.loop_share};
  for (const std::string* text : {&trace.reasoning, &trace.content})
    if (std::string loop = find_loop(*text, limits); !loop.empty()) return item.drop("loop", std::move(loop));
  if (options.require_reasoning && trim(trace.reasoning).empty()) return item.drop("no_reasoning");

  extract(item, rule);
  if (options.identity == "keep") return;
  const Scrub thought = scrub_identity(trace.reasoning, question, options.identity_names);
  const Scrub content = scrub_identity(trace.content, question, options.identity_names);
  if (thought.removed + content.removed == 0) return;
  const std::string& leak = content.first.empty() ? thought.first : content.first;
  if (options.identity == "drop") return item.drop("identity", leak);
  const std::string key = item.key;
  Trace whole = trace;
  trace.reasoning = thought.text;
  trace.content = content.text;
  extract(item, rule);
  const bool lost_thought = !trim(whole.reasoning).empty() && trim(thought.text).empty();
  if (!thought.whole || !content.whole || trim(content.text).empty() || item.key != key || lost_thought) {
    trace = std::move(whole);
    return item.drop("identity", leak);
  }
  item.mended = true;
}

void check_reference(Item& item, const std::string& reference, const verify::Rule& rule, verify::StrictHint& hint) {
  const verify::Judgement judgement = rule.judge({reference, item.trace.content, question_of(item.trace.messages)});
  if (!judgement.problem.empty()) return item.drop("undecided", "the checker failed: " + judgement.problem);
  if (!judgement.equal) hint.wrong(rule, reference, item.trace.content, judgement);
  if (judgement.how == "no_answer") return item.drop("no_answer");
  if (!judgement.equal) {
    const std::string said = judgement.answer ? judgement.answer->text : "no answer";
    return item.drop("wrong_answer", fmt::format("{} instead of {}", said, reference));
  }
  item.answer = reference;
  item.how = "reference";
}

// The key that wins the vote, or "" where none does.
std::string vote(const std::vector<Item>& items, const Group& group, const Options& options) {
  std::map<std::string, int> votes;
  int answered = 0;
  for (const size_t i : group) {
    if (!items[i].alive() || items[i].key.empty()) continue;
    ++votes[items[i].key];
    ++answered;
  }
  std::string winner;
  int most = 0, second = 0;
  for (const auto& [key, count] : votes) {
    if (count > most)
      second = most, most = count, winner = key;
    else
      second = std::max(second, count);
  }
  const double n = answered;
  const bool clear = most > second && most >= options.min_votes && most > options.min_share * n &&
                     most - second >= options.min_margin * n;
  return clear ? winner : "";
}

void settle(std::vector<Item>& items, const Group& group, const std::string& winner, const std::string& how,
            const std::string& loser) {
  std::string answer;  // the winner as first written
  for (const size_t i : group)
    if (items[i].alive() && items[i].key == winner && answer.empty()) answer = items[i].answer;
  for (const size_t i : group) {
    Item& item = items[i];
    if (!item.alive()) continue;
    if (item.key == winner)
      item.answer = answer, item.how = how;
    else if (item.key.empty())
      item.drop("no_answer");
    else
      item.drop(loser, fmt::format("{} instead of {}", item.answer, answer));
  }
}

bool any_answer(const std::vector<Item>& items, const Group& group) {
  return std::any_of(group.begin(), group.end(), [&](size_t i) { return items[i].alive() && !items[i].key.empty(); });
}

// Asks the grader about every undecided group: one question a distinct answer, or a trace where none has an answer.
Status grade(std::vector<Item>& items, const std::vector<Group>& undecided, const Options& options,
             model::Generator& grader, Env& env, const Context& context, Accounting& accounting) {
  std::vector<Candidate> candidates;
  std::vector<size_t> of;  // candidate -> item
  for (const Group& group : undecided) {
    const bool answers = any_answer(items, group);
    std::unordered_set<std::string> asked;
    for (const size_t i : group) {
      const Item& item = items[i];
      if (!item.alive() || (answers && (item.key.empty() || !asked.insert(item.key).second))) continue;
      candidates.push_back({question_of(item.trace.messages), item.trace.content, item.answer});
      of.push_back(i);
    }
  }
  accounting.count("graded", static_cast<int64_t>(candidates.size()));
  RETORT_ASSIGN(const std::vector<Grade> grades,
                grade_all(candidates, grader, options.grader_concurrency, options.grader_max_tokens, env,
                          context.cancel, context.progress));
  std::unordered_map<size_t, Grade> by_item;
  for (size_t c = 0; c < of.size(); ++c) by_item.emplace(of[c], grades[c]);
  for (const Group& group : undecided) {
    if (any_answer(items, group)) {
      std::map<std::string, Grade> by_key;
      std::vector<std::string> correct;
      for (const size_t i : group) {
        const auto it = by_item.find(i);
        if (it == by_item.end()) continue;
        by_key[items[i].key] = it->second;
        if (it->second == Grade::Correct) correct.push_back(items[i].key);
      }
      if (correct.size() == 1) {
        settle(items, group, correct.front(), "grader", "wrong_answer");
        continue;
      }
      for (const size_t i : group) {
        Item& item = items[i];
        if (!item.alive()) continue;
        if (item.key.empty())
          item.drop("no_answer");
        else if (correct.size() > 1)
          item.drop("undecided", fmt::format("the grader accepted {} different answers", correct.size()));
        else if (by_key[item.key] == Grade::Wrong)
          item.drop("wrong_answer", "by the grader's verdict");
        else
          item.drop("undecided", "the grader gave no verdict");
      }
      continue;
    }
    for (const size_t i : group) {
      Item& item = items[i];
      if (!item.alive()) continue;
      const Grade verdict = by_item.at(i);
      if (verdict == Grade::Correct)
        item.how = "grader";
      else if (verdict == Grade::Wrong)
        item.drop("wrong_answer", "by the grader's verdict");
      else
        item.drop("undecided", "the grader gave no verdict");
    }
  }
  return {};
}

// Letters and digits in lower case, words apart: what duplicates are compared by.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<uint8_t>(c) >= 0x80 ||
        std::string_view("+-*/=").find(c) != std::string_view::npos) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::vector<uint64_t> shingles(const std::vector<std::string>& words) {
  constexpr size_t kWords = 3;
  std::vector<uint64_t> out;
  for (size_t i = 0; i + 1 <= words.size(); ++i) {
    uint64_t hash = 0;
    for (size_t j = i; j < std::min(i + kWords, words.size()); ++j)
      hash = (hash ^ fnv1a(words[j])) * 0x9E3779B97F4A7C15ull + 1;
    out.push_back(hash);
    if (i + kWords >= words.size()) break;
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

double jaccard(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j])
      ++common, ++i, ++j;
    else if (a[i] < b[j])
      ++i;
    else
      ++j;
  }
  const size_t all = a.size() + b.size() - common;
  return all == 0 ? 1 : static_cast<double>(common) / static_cast<double>(all);
}

// Drops duplicates and what is over max_per_prompt; `seen` holds the texts kept so far, of all prompts.
void thin(std::vector<Item>& items, const Group& group, const Options& options,
          std::unordered_map<std::string, std::string>& seen) {
  Group order;
  for (const size_t i : group)
    if (items[i].alive()) order.push_back(i);
  const auto longer = [&](size_t a, size_t b) { return items[a].bytes() > items[b].bytes(); };
  if (options.prefer == "shortest")
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return longer(b, a); });
  if (options.prefer == "longest") std::stable_sort(order.begin(), order.end(), longer);
  std::vector<std::pair<size_t, std::vector<uint64_t>>> kept;
  for (const size_t i : order) {
    Item& item = items[i];
    const std::vector<std::string> words = words_of(item.trace.reasoning + "\n" + item.trace.content);
    std::string joined = normalise_question(question_of(item.trace.messages));
    for (const std::string& word : words) joined += " " + word;
    const auto [same, fresh] = seen.emplace(sha256(joined), item.trace.id);
    if (!fresh) {
      item.drop("duplicate", "same text as " + same->second);
      continue;
    }
    std::vector<uint64_t> grams = shingles(words);
    for (const auto& [other, theirs] : kept) {
      const double similar = jaccard(grams, theirs);
      if (similar < options.near_duplicate) continue;
      item.drop("duplicate", fmt::format("{:.2f} like {}", similar, items[other].trace.id));
      break;
    }
    if (!item.alive()) continue;
    if (options.max_per_prompt > 0 && kept.size() >= static_cast<size_t>(options.max_per_prompt)) {
      item.drop("surplus", fmt::format("its prompt has {} examples", kept.size()));
      continue;
    }
    item.kept = true;
    kept.emplace_back(i, std::move(grams));
  }
}

Example example_of(const Item& item, std::vector<std::string> voters, const Options& options) {
  const Trace& trace = item.trace;
  Example example;
  example.parents = {trace.id};
  for (std::string& voter : voters)
    if (voter != trace.id) example.parents.push_back(std::move(voter));
  example.prompt_id = trace.prompt_id;
  example.messages = trace.messages;
  example.reasoning = options.answers_only ? "" : trace.reasoning;
  example.content = options.answers_only && !item.answer.empty() ? item.answer : trace.content;
  example.answer = item.answer;
  example.how = item.how;
  example.task = trace.task;
  example.teacher = trace.teacher;
  example.permission_hash = trace.permission_hash;
  std::string identity;
  for (const std::string& parent : example.parents) identity += parent + "\n";
  example.id = short_id(identity + example.reasoning + "\n" + example.content);
  return example;
}

}  // namespace

Status check(const Options& o) {
  RETORT_TRY(check_options(o));
  if (auto rule = verify::parse_rule(o.rule, verify::From::User); !rule.ok()) return std::move(rule).error();
  if (o.max_chars < o.min_chars)
    return fail(Code::Invalid, "`min_chars` is {} and `max_chars` is {}; give the larger as `max_chars`", o.min_chars,
                o.max_chars);
  return {};
}

Result<Tally> run(const Options& options, Source<Trace>& traces, Sink<Example>& kept, Sink<Reject>& dropped,
                  model::Generator* grader, Env& env, Context context) {
  RETORT_TRY(check(options));
  RETORT_ASSIGN(verify::Rules rules, verify::Rules::open(options.rule));
  verify::StrictHint hint;
  Accounting accounting;
  std::vector<Item> items;
  std::vector<Group> groups;
  {
    std::unordered_map<std::string, size_t> at;
    std::unordered_set<std::string> ids;
    for (;;) {
      RETORT_ASSIGN(std::optional<Trace> trace, traces.next());
      if (!trace) break;
      if (!ids.insert(trace->id).second)
        return fail(Code::Invalid, "the trace id `{}` comes twice in the input; give each file of traces once",
                    trace->id);
      accounting.in(trace->id);
      const auto [group, fresh] = at.emplace(trace->prompt_id, groups.size());
      if (fresh) groups.emplace_back();
      groups[group->second].push_back(items.size());
      items.push_back({std::move(*trace), "", "", "", "", "", false, false});
    }
  }
  for (Item& item : items) {
    if (context.cancel.requested()) return fail(Code::Cancelled, "curation was stopped");
    const auto rule = rules.of(item.trace.rule);
    if (!rule.ok()) return within(fmt::format("trace `{}`", item.trace.id), rule.error());
    if (!item.trace.answer.empty()) {
      if (Status taken = (*rule)->accepts(item.trace.answer); !taken.ok())
        return within(fmt::format("trace `{}`, rule `{}`", item.trace.id, (*rule)->text), std::move(taken).error());
    }
    check_alone(item, options, **rule, context.held_out);
  }

  std::vector<Group> undecided;
  for (const Group& group : groups) {
    std::string reference;
    for (const size_t i : group)
      if (reference.empty()) reference = items[i].trace.answer;
    if (!reference.empty()) {
      bool several = false;  // a set that gives one question several answers: each is held against its own
      for (const size_t i : group) {
        const std::string& own = items[i].trace.answer;
        several = several || (!own.empty() && own != reference);
        if (!items[i].alive()) continue;
        RETORT_ASSIGN(const verify::Rule* rule, rules.of(items[i].trace.rule));
        check_reference(items[i], own.empty() ? reference : own, *rule, hint);
      }
      if (several) accounting.count("prompts_with_several_references");
      continue;
    }
    const std::string winner = options.vote ? vote(items, group, options) : "";
    if (!winner.empty()) {
      settle(items, group, winner, "vote", "minority");
      accounting.count("prompts_voted");
    } else if (std::any_of(group.begin(), group.end(), [&](size_t i) { return items[i].alive(); })) {
      undecided.push_back(group);
    }
  }
  if (grader != nullptr && !undecided.empty()) {
    RETORT_TRY(grade(items, undecided, options, *grader, env, context, accounting));
  } else {
    for (const Group& group : undecided) {
      for (const size_t i : group) {
        Item& item = items[i];
        if (!item.alive()) continue;
        if (options.trust_unchecked)
          item.how = "unchecked";
        else if (item.key.empty())
          item.drop("no_answer", "nothing to check: no reference and no answer to vote on");
        else
          item.drop("undecided", "no reference, and no clear majority among the samples");
      }
    }
  }

  if (const std::string text = hint.text(); !text.empty() && context.hint) context.hint(text);

  std::vector<std::vector<std::string>> voters(groups.size());
  std::unordered_map<std::string, std::string> seen;
  std::vector<size_t> group_of(items.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const size_t i : groups[g]) {
      group_of[i] = g;
      if (items[i].alive() && items[i].how == "vote") voters[g].push_back(items[i].trace.id);
    }
    thin(items, groups[g], options, seen);
  }

  std::vector<Example> examples;
  std::vector<Trace> described;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (item.kept) {
      Example example = example_of(item, voters[group_of[i]], options);
      RETORT_TRY(kept.put(example));
      accounting.kept(example.parents);
      if (item.mended) accounting.count("mended_identity");
      accounting.count("by_" + item.how);
      examples.push_back(std::move(example));
    } else {
      RETORT_TRY(dropped.put({item.trace.id, "curate", item.reason, item.detail}));
      accounting.dropped(item.trace.id, item.reason);
    }
  }
  RETORT_ASSIGN(Tally tally, accounting.finish());
  if (context.card != nullptr) {
    for (Item& item : items) described.push_back(std::move(item.trace));
    context.card->held_out_questions = static_cast<int64_t>(context.held_out.size());
    describe(described, examples, tally, *context.card);
  }
  return tally;
}

}  // namespace retort::curate
