// The data card: what went in, what came out and why, as JSON for machines and Markdown for readers. Depends on the
// records only (no clock, no path of this machine), so the same input gives the same bytes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "record/example.h"
#include "record/tally.h"
#include "record/trace.h"

namespace retort::curate {

struct CardFile {
  std::string name;    // without folders
  std::string sha256;  // of the file's bytes
  int64_t records = 0;
};

struct Lengths {  // bytes of text
  int64_t min = 0, median = 0, p90 = 0, max = 0;
  double mean = 0;
};

struct CardGroup {
  int64_t in = 0, kept = 0;
};

struct Card {
  Tally tally;
  Json options;  // as given, null until set by the caller
  std::string options_hash;
  std::vector<CardFile> inputs, outputs;  // set by the caller
  std::map<std::string, CardGroup> tasks, teachers, permissions, models;
  std::map<std::string, int64_t> how;     // kept examples by what vouches for their answer
  int64_t prompts = 0, prompts_kept = 0;  // prompts seen, and with at least one example
  int64_t held_out_questions = 0;
  Lengths reasoning, content;  // of kept examples
};

// Fills everything but options, inputs and outputs.
void describe(const std::vector<Trace>& traces, const std::vector<Example>& kept, const Tally& tally, Card& card);

Json encode(const Card& card);
std::string markdown(const Card& card);

}  // namespace retort::curate
