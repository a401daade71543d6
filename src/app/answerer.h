// Answerer: what answers a stage's questions, as options: a model here or one behind an API. The one place that opens
// either: an API costs money, so it is asked within a cap and its spending is on the books, or its price list says
// `free`.
#pragma once

#include <memory>
#include <string>

#include "base/env.h"
#include "base/json.h"
#include "base/money.h"
#include "base/options.h"
#include "base/result.h"
#include "base/secret.h"
#include "ledger/price.h"
#include "model/generator.h"
#include "model/model.h"

namespace retort::app {

inline constexpr const char* kFree = "free";  // in place of a price list: this API asks for no money

inline constexpr const char* kApiKey = "RETORT_API_KEY";
inline constexpr const char* kGraderKey = "RETORT_GRADER_KEY";  // another API's: a teacher's key is not for it

// How an API is reached and what it costs.
struct ApiAccess {
  std::string key_variable = kApiKey, key_file, ca_file, prices;
  bool no_stream = false, max_completion_tokens = false;

  template <class V>
  void fields(V&& v) {
    v("prices", prices,
      "price list of the API (YAML: model to dollars per million tokens), or `free` where it asks for no money",
      {.path = true, .no_path = kFree});
    v("key_variable", key_variable, "environment variable that holds the API's key", {.how = true});
    v("key_file", key_file, "file that holds the API's key, in place of a variable", {.path = true, .how = true});
    v("ca_file", ca_file, "trusted certificate authorities (PEM)", {.path = true, .how = true});
    v("no_stream", no_stream, "ask for whole responses in place of event streams", {.how = true});
    v("max_completion_tokens", max_completion_tokens, "send the limit under the newer name max_completion_tokens",
      {.how = true});
  }
};

// Errors: Invalid for an empty file, and for a variable that is not set though it was named.
Result<Secret> api_key(const ApiAccess& access, Env& env);
// Errors: Invalid, with what to write, where there is no price list or it lacks the model. `prefix` is put before the
// names of options in messages.
Result<ledger::Price> api_price(const ApiAccess& access, const std::string& model, const std::string& prefix, Env& env);

struct Answerer {
  std::string model, endpoint, cap;
  ApiAccess access;
  int threads = 0;

  template <class V>
  void fields(V&& v) {
    v("model", model, "the model that answers: a path, or with an endpoint its name there",
      {.path = true, .or_name = "endpoint"});
    v("endpoint", endpoint, "an OpenAI-compatible API, up to and with /v1, in place of a model here");
    v("cap", cap, "dollars that the API may be paid, resumed runs included, such as 1.00", {.how = true});
    access.fields(v);
    v("threads", threads, "threads of a model here; 0: those the process may use",
      {.how = true, .low = 0, .high = 4096});
  }
  bool given() const { return !model.empty() || !endpoint.empty(); }
};

// How an answerer is opened, besides what it is.
struct AnswererUse {
  std::string store;        // attempt log of a paid API
  std::string prefix = "";  // of its options' names in messages
  std::string name = "";    // of a model here in what it answers; "": its own
  Json extra = nullptr;     // members of each request's body to an API
  bool repeats = false;     // equal questions are asked anew, not answered from the store
};

class OpenAnswerer {
 public:
  virtual ~OpenAnswerer() = default;
  virtual model::Generator& generator() = 0;
  virtual const model::Model* local() const = 0;  // null for an API
  // What a resumed run must share besides the name: the weights' hash, or the endpoint.
  virtual Result<std::string> identity(Env& env) const = 0;
  // Books what the API was paid over all runs of the store under `stage`; nothing where it is free or local.
  virtual Status book(const std::string& costs, const std::string& stage, Env& env) = 0;
};

// What can be known to be wrong before it is opened. A file that is not there yet is left for later.
Status check_answerer(const Answerer& answerer, const std::string& prefix, Env& env);
// Errors: those of check_answerer, of model::load_model, and of the store.
Result<std::unique_ptr<OpenAnswerer>> open_answerer(const Answerer& answerer, AnswererUse use, Env& env);

}  // namespace retort::app
