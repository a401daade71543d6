// Opens what the user called MODEL: from a path to a Generator or, for scoring, to a Network. The one place where
// commands choose what answers; a Generator behind an API is opened by wire.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "infer/engine.h"
#include "model/model.h"

namespace retort::app {

// Errors: those of model::load_model and Engine::create.
Result<std::unique_ptr<infer::Engine>> open_engine(const std::string& path, const infer::Options& options = {});

struct ScoredModel {
  std::shared_ptr<const model::Model> model;
  std::shared_ptr<const infer::Network> network;
};
// The same without a scheduler, for log-probabilities of given tokens. `threads` 0: those the process may use.
Result<ScoredModel> open_scored_model(const std::string& path, int threads = 0);

}  // namespace retort::app
