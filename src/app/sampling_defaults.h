// What a model's generation_config asks for, as the sampling of requests that do not say.
#pragma once

#include "model/config.h"
#include "model/generator.h"

namespace retort::app {

inline model::Sampling sampling_defaults(const model::GenerationDefaults& wishes) {
  model::Sampling sampling;
  if (wishes.temperature) sampling.temperature = *wishes.temperature;
  if (wishes.top_p) sampling.top_p = *wishes.top_p;
  if (wishes.top_k) sampling.top_k = *wishes.top_k;
  if (wishes.do_sample && !*wishes.do_sample) sampling.temperature = 0;
  return sampling;
}

}  // namespace retort::app
