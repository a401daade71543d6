#include "app/collect_files.h"

#include "app/open_model.h"
#include "app/sampling_defaults.h"
#include "app/steps.h"
#include "ledger/cost_book.h"
#include "ledger/price.h"
#include "net/curl_transport.h"
#include "serve/api_server.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

// The three files of a finished collection.
struct Output {
  std::string folder;
  std::unique_ptr<Sink<Trace>> traces;
  std::unique_ptr<Sink<Reject>> rejects;

  static Result<Output> create(const std::string& folder, Env& env) {
    RETORT_TRY(env.make_directories(folder));
    Output out;
    out.folder = folder;
    RETORT_ASSIGN(out.traces, create_jsonl<Trace>(folder + "/traces.jsonl", env));
    RETORT_ASSIGN(out.rejects, create_jsonl<Reject>(folder + "/rejects.jsonl", env));
    return out;
  }
  Status close(const Tally& tally, Env& env) {
    RETORT_TRY(rejects->close());
    RETORT_TRY(traces->close());
    return env.write_file(folder + "/tally.json", to_text(encode(tally)) + "\n");
  }
};

Result<Tally> import_files(const CollectJob& job, Env& env) {
  RETORT_ASSIGN(const auto permission,
                collect::load_permission(job.permission, std::string(collect::kImportEndpoint), env));
  RETORT_ASSIGN(auto rows, open_jsonl<collect::Row>(job.import));
  RETORT_ASSIGN(auto out, Output::create(job.out, env));
  collect::ImportOptions import;
  import.format = job.format;
  import.system = job.options.system;
  import.task = job.task;
  import.limit = job.options.limit;
  auto tally = collect::run_import(import, permission, *rows, *out.traces, *out.rejects, env);
  if (!tally.ok()) return within(job.import, std::move(tally).error());
  if (tally->kept == 0) {
    return fail(Code::Invalid, "{} gave no trace: of {} rows were dropped {}; look at a row and set `format` (now {})",
                job.import, tally->in, reasons_text(*tally), job.format);
  }
  RETORT_TRY(out.close(*tally, env));
  return tally;
}

Status book(const CollectJob& job, Env& env) {
  const std::string store = job.work + "/collect.sqlite";
  if (!env.exists(store)) return {};
  RETORT_ASSIGN(auto log, store::AttemptLog::open_read_only(store, env));
  RETORT_ASSIGN(const auto rows, collect::cost_rows(log, job.stage, job.options.model));
  return ledger::append_costs(job.costs, rows, env);
}

// A teacher that lives as long as the collection: its address goes into the options.
struct LocalTeacher {
  std::unique_ptr<Teacher> procedural;
  std::unique_ptr<infer::Engine> engine;
  std::unique_ptr<serve::ApiServer> server;

  Status start(CollectJob& job, Env& env) {
    if (job.procedural) {
      TeacherOptions options = job.teacher;
      options.port = 0;
      options.log = job.work + "/teacher.jsonl";
      RETORT_ASSIGN(procedural, Teacher::start(options, env));
      job.options.endpoint = procedural->url() + "/v1";
      job.options.model = options.model;
    } else if (!job.serve.empty()) {
      infer::Options options;
      if (!job.options.model.empty()) options.name = job.options.model;
      RETORT_ASSIGN(engine, open_engine(job.serve, options));
      serve::Options http;
      http.http.port = 0;
      http.max_requests = job.options.concurrency + 1;
      RETORT_ASSIGN(server, serve::ApiServer::start(http, *engine, sampling_defaults(engine->model().generation), env));
      job.options.endpoint = server->url() + "/v1";
      job.options.model = engine->name();
    }
    return {};
  }
};

}  // namespace

Result<Tally> collect_files(CollectJob job, Env& env) {
  if (!job.import.empty()) return import_files(job, env);
  if (job.prompts.empty())
    return fail(Code::Invalid, "give `prompts`, a file of questions for the teacher, or `import`");
  RETORT_TRY(env.make_directories(job.work));
  LocalTeacher local;
  RETORT_TRY(local.start(job, env));
  collect::Options& options = job.options;
  if (options.endpoint.empty()) return fail(Code::Invalid, "give `endpoint`, the teacher's address up to /v1");
  if (options.model.empty()) return fail(Code::Invalid, "give `model`, the teacher's name at {}", options.endpoint);
  if (job.prices.empty()) {
    return fail(Code::Invalid,
                "give `prices`, a YAML map: `{}: {{input: 2.50, output: 10.00}}` (dollars per million tokens)",
                options.model);
  }
  RETORT_ASSIGN(const auto permission, collect::load_permission(job.permission, options.endpoint, env));
  RETORT_ASSIGN(const auto prices, ledger::load_prices(job.prices, env));
  RETORT_ASSIGN(const auto price, ledger::price_of(prices, options.model, job.prices));
  RETORT_ASSIGN(auto prompts, open_jsonl<Prompt>(job.prompts));
  RETORT_ASSIGN(auto out, Output::create(job.out, env));

  net::CurlOptions curl;
  curl.ca_file = job.ca_file;
  net::CurlTransport transport(curl);
  wire::ApiOptions api;
  api.base_url = options.endpoint;
  api.model = options.model;
  api.stream = job.stream;
  api.max_completion_tokens = job.max_completion_tokens;
  api.max_body_bytes = options.max_answer_bytes;
  RETORT_ASSIGN(Json extra, collect::extra_members(options));
  RETORT_ASSIGN(auto headers, extra_headers(options.headers, env));
  wire::ApiGenerator teacher(transport, api, job.key, std::move(extra), std::move(headers));

  collect::Place place;
  place.store = job.work + "/collect.sqlite";
  place.cancel = job.cancel;
  std::optional<Error> ended;
  place.ended = &ended;
  auto tally = collect::run(options, place, permission, price, *prompts, *out.traces, *out.rejects, teacher, env);
  const Status booked = book(job, env);
  if (!tally.ok()) return tally;
  RETORT_TRY(booked);
  RETORT_TRY(out.close(*tally, env));
  if (ended) return std::move(*ended);
  return tally;
}

}  // namespace retort::app
