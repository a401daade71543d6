// Training from files to a folder: what `retort train` and a recipe's train step both do. It adds to train::run what is
// known outside of it: where the examples and the base come from, written beside the weights as provenance.json.
#pragma once

#include <functional>
#include <string>

#include "app/job.h"
#include "base/env.h"
#include "base/json.h"
#include "train/train.h"

namespace retort::app {

struct TrainJob {
  std::string examples, base, tokenizer, flops_of;
  bool from_scratch = false;
  train::Options options;

  template <class V>
  void fields(V&& v) {
    v("examples", examples, "examples: JSON Lines (.zst too) as curate writes them", {.path = true, .required = true});
    v("base", base, "the model to start from", {.path = true});
    v("from_scratch", from_scratch, "start from new weights (see scratch.layers and its like)");
    v("tokenizer", tokenizer,
      "from scratch: a model or tokenizer.json whose tokenizer to use; default: learned from the examples",
      {.path = true});
    v("flops_of", flops_of, "the folder of another training: train with as many FLOPs as it did", {.path = true});
    options.fields(v);
  }
  Status check(Env& env) const;
};

// The report that a training left: in a step's folder (without run facts), or beside the weights.
Result<Json> read_train_report(const std::string& folder, Env& env);

// Writes the model into `place.out`, which must not be there unless `replace`. Errors: train::run's; Invalid where
// `examples` holds none, with the reasons of the tally beside it.
Result<train::Report> train_files(const TrainJob& job, const JobPlace& place, bool replace,
                                  const std::function<void(const train::Snapshot&)>& watch, Env& env);

// provenance.json of a model that `base` and `examples` make: format in docs/formats.md. No time and no folder's path
// stands in it: equal inputs give equal bytes. A base that carries such a record brings it along.
Result<Json> model_provenance(const train::Options& options, const train::Task& task, const std::string& examples,
                              Env& env);

// What such a record says of a base or a tokenizer, or of whatever else a model was made from: name, hash, licence
// where it states one, and its own record. `given`: a model, or a file that model::load_text reads; "": null.
Result<Json> provenance_part(const std::string& given, Env& env);

inline constexpr const char* kModelProvenance = "provenance.json";

}  // namespace retort::app
