#include "app/open_model.h"

#include "kernels/isa.h"

namespace retort::app {

Result<std::unique_ptr<infer::Engine>> open_engine(const std::string& path, const infer::Options& options) {
  RETORT_TRY(kernels::isa_status());
  RETORT_ASSIGN(model::Model loaded, model::load_model(path));
  return infer::Engine::create(std::make_shared<const model::Model>(std::move(loaded)), options);
}

Result<ScoredModel> open_scored_model(const std::string& path, int threads) {
  RETORT_TRY(kernels::isa_status());
  RETORT_TRY(check_threads(threads));
  RETORT_ASSIGN(model::Model loaded, model::load_model(path));
  auto shared = std::make_shared<const model::Model>(std::move(loaded));
  RETORT_ASSIGN(auto network, infer::Network::create(shared, std::make_shared<TaskPool>(threads)));
  return ScoredModel{std::move(shared), std::move(network)};
}

}  // namespace retort::app
