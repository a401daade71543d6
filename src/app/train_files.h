// Training from files to a folder: what `retort train` and a recipe's train step both do. It adds to train::run what is
// known outside of it: where the examples and the base come from, written beside the weights as provenance.json.
#pragma once

#include <functional>
#include <string>

#include "base/cancel.h"
#include "base/env.h"
#include "train/train.h"

namespace retort::app {

// Errors: train::run's; Invalid where `examples` holds none, with the reasons of the tally beside it.
Result<train::Report> train_files(const train::Options& options, train::Task task, const std::string& examples,
                                  const std::function<void(const train::Snapshot&)>& watch, Env& env,
                                  const Cancel& cancel);

// provenance.json of a model that `base` and `examples` make: format in docs/formats.md. No time and no folder's path
// stands in it: equal inputs give equal bytes. A base that carries such a record brings it along.
Result<Json> model_provenance(const train::Options& options, const train::Task& task, const std::string& examples,
                              Env& env);

inline constexpr const char* kModelProvenance = "provenance.json";

}  // namespace retort::app
