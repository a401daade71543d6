#include "app/answerer.h"

#include <filesystem>

#include "app/eval_files.h"
#include "app/open_model.h"
#include "app/paid_generator.h"
#include "app/steps.h"
#include "base/text.h"
#include "ledger/cost_book.h"
#include "net/curl_transport.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

// Defaults, which need not be set: an API may ask for no key.
bool is_default(const std::string& variable) { return variable == kApiKey || variable == kGraderKey; }

Result<UsdMicros> cap_of(const Answerer& answerer, const std::string& prefix) {
  if (answerer.access.prices == kFree) return UsdMicros{0};
  if (answerer.cap.empty())
    return fail(Code::Invalid, "give `{}cap`, the most dollars that {} may be paid, such as 1.00", prefix,
                answerer.endpoint);
  auto cap = parse_usd(answerer.cap);
  if (!cap.ok()) return within("`" + prefix + "cap`", std::move(cap).error());
  return cap;
}

class OpenEngine final : public OpenAnswerer {
 public:
  OpenEngine(std::unique_ptr<infer::Engine> engine, std::string path)
      : engine_(std::move(engine)), path_(std::move(path)) {}
  model::Generator& generator() override { return *engine_; }
  const model::Model* local() const override { return &engine_->model(); }
  Result<std::string> identity(Env& env) const override { return weights_identity(path_, env); }
  Status book(const std::string&, const std::string&, Env&) override { return {}; }

 private:
  std::unique_ptr<infer::Engine> engine_;
  std::string path_;
};

class OpenApi final : public OpenAnswerer {
 public:
  OpenApi(const Answerer& answerer, Secret key, Json extra)
      : endpoint_(answerer.endpoint), transport_({.ca_file = answerer.access.ca_file}) {
    wire::ApiOptions api;
    api.base_url = answerer.endpoint;
    api.model = answerer.model;
    api.stream = !answerer.access.no_stream;
    api.max_completion_tokens = answerer.access.max_completion_tokens;
    api_ = std::make_unique<wire::ApiGenerator>(transport_, api, std::move(key), std::move(extra));
  }
  Status pay(const AnswererUse& use, const ledger::Price& price, UsdMicros cap, Env& env) {
    RETORT_TRY(env.make_directories(std::filesystem::path(use.store).parent_path().string()));
    RETORT_ASSIGN(paid_, PaidGenerator::open(use.store, price, cap, {"`" + use.prefix + "cap`", endpoint_, use.repeats},
                                             *api_, env));
    return {};
  }
  model::Generator& generator() override {
    return paid_ ? static_cast<model::Generator&>(*paid_) : static_cast<model::Generator&>(*api_);
  }
  const model::Model* local() const override { return nullptr; }
  Result<std::string> identity(Env&) const override { return endpoint_; }
  Status book(const std::string& costs, const std::string& stage, Env& env) override {
    if (!paid_) return {};
    RETORT_ASSIGN(const auto rows, paid_->cost_rows(stage));
    return ledger::append_costs(costs, rows, env);
  }

 private:
  std::string endpoint_;
  net::CurlTransport transport_;
  std::unique_ptr<wire::ApiGenerator> api_;
  std::unique_ptr<PaidGenerator> paid_;  // last: it ends before what it asks
};

}  // namespace

Result<Secret> api_key(const ApiAccess& access, Env& env) {
  if (!access.key_file.empty()) {
    auto text = env.read_file(access.key_file);
    if (!text.ok()) return within("`key_file`", std::move(text).error());
    const std::string key(trim(*text));
    if (key.empty()) return fail(Code::Invalid, "the key file {} is empty", access.key_file);
    return Secret(key);
  }
  Secret key = secret_from_environment(access.key_variable);
  if (key.empty() && !access.key_variable.empty() && !is_default(access.key_variable))
    return fail(Code::Invalid, "the environment variable {} (`key_variable`) is not set; set it to the API's key",
                access.key_variable);
  return key;
}

Result<ledger::Price> api_price(const ApiAccess& access, const std::string& model, const std::string& prefix,
                                Env& env) {
  if (access.prices == kFree) return ledger::Price{};
  if (access.prices.empty())
    return fail(Code::Invalid,
                "give `{0}prices`, a file with the line `{1}: {{input: 2.50, output: 10.00}}` (dollars per million "
                "tokens), and `{0}cap`, the most dollars to spend; or `{0}prices` {2} where the API asks for no money",
                prefix, model, kFree);
  RETORT_ASSIGN(const auto prices, ledger::load_prices(access.prices, env));
  return ledger::price_of(prices, model, access.prices);
}

Status check_answerer(const Answerer& answerer, const std::string& prefix, Env& env) {
  if (answerer.endpoint.empty()) {
    for (const auto& [value, name] : {std::pair(answerer.cap, "cap"), {answerer.access.prices, "prices"}})
      if (!value.empty())
        return fail(Code::Invalid, "`{}{}` is of an API; give `{}endpoint`, or leave it out", prefix, name, prefix);
    return {};
  }
  if (answerer.model.empty())
    return fail(Code::Invalid, "`{0}endpoint` needs `{0}model`, the model's name at {1}", prefix, answerer.endpoint);
  if (answerer.access.prices.empty() || answerer.access.prices == kFree || env.exists(answerer.access.prices))
    RETORT_TRY(api_price(answerer.access, answerer.model, prefix, env));
  RETORT_TRY(cap_of(answerer, prefix));
  if (answerer.access.key_file.empty() || env.exists(answerer.access.key_file))
    RETORT_TRY(api_key(answerer.access, env));
  return {};
}

Result<std::unique_ptr<OpenAnswerer>> open_answerer(const Answerer& answerer, AnswererUse use, Env& env) {
  RETORT_TRY(check_answerer(answerer, use.prefix, env));
  if (answerer.endpoint.empty()) {
    infer::Options options;
    options.threads = answerer.threads;
    options.name = use.name;
    RETORT_ASSIGN(auto engine, open_engine(answerer.model, options));
    return std::unique_ptr<OpenAnswerer>(std::make_unique<OpenEngine>(std::move(engine), answerer.model));
  }
  RETORT_ASSIGN(const ledger::Price price, api_price(answerer.access, answerer.model, use.prefix, env));
  RETORT_ASSIGN(const UsdMicros cap, cap_of(answerer, use.prefix));
  RETORT_ASSIGN(Secret key, api_key(answerer.access, env));
  auto api = std::make_unique<OpenApi>(answerer, std::move(key), std::move(use.extra));
  if (answerer.access.prices != kFree) RETORT_TRY(api->pay(use, price, cap, env));
  return std::unique_ptr<OpenAnswerer>(std::move(api));
}

}  // namespace retort::app
