#include "model/generator.h"

#include <future>

namespace retort::model {

Result<Reply> generate(Generator& generator, Request request, Cancel cancel) {
  std::promise<Result<Reply>> promise;
  auto future = promise.get_future();
  generator.submit(std::move(request), {{}, [&](Result<Reply> reply) { promise.set_value(std::move(reply)); }},
                   std::move(cancel));
  return future.get();
}

}  // namespace retort::model
