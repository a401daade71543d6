#include "app/collect_files.h"

#include "app/open_model.h"
#include "app/sampling_defaults.h"
#include "app/steps.h"
#include "base/folder.h"
#include "ledger/cost_book.h"
#include "ledger/price.h"
#include "net/curl_transport.h"
#include "serve/api_server.h"
#include "wire/api_generator.h"

namespace retort::app {
namespace {

constexpr const char* kCollectMark = "collect";

// The three files of a finished collection.
struct Output {
  Folder folder;
  std::unique_ptr<Sink<Trace>> traces;
  std::unique_ptr<Sink<Reject>> rejects;

  static Result<Output> create(const std::string& folder, Env& env) {
    Output out;
    RETORT_ASSIGN(out.folder, Folder::hold(folder, kCollectMark, env));
    RETORT_ASSIGN(out.traces, create_jsonl<Trace>(folder + "/traces.jsonl", env));
    RETORT_ASSIGN(out.rejects, create_jsonl<Reject>(folder + "/rejects.jsonl", env));
    return out;
  }
  Status close(const Tally& tally, Env& env) {
    RETORT_TRY(rejects->close());
    RETORT_TRY(traces->close());
    RETORT_TRY(env.write_file(folder.path() + "/tally.json", to_text(encode(tally)) + "\n"));
    return folder.seal({{"traces.jsonl", ""}, {"rejects.jsonl", ""}, {"tally.json", ""}});
  }
};

Result<Tally> import_files(const CollectJob& job, const JobPlace& place, Env& env) {
  RETORT_ASSIGN(const auto permission,
                collect::load_permission(job.permission, std::string(collect::kImportEndpoint), env));
  RETORT_ASSIGN(auto rows, open_jsonl<collect::Row>(job.import));
  RETORT_ASSIGN(auto out, Output::create(place.out, env));
  collect::ImportOptions import;
  import.format = job.format;
  import.columns = job.columns;
  import.system = job.options.system;
  import.task = job.task;
  import.limit = job.options.limit;
  auto tally = collect::run_import(import, permission, *rows, *out.traces, *out.rejects, env);
  if (!tally.ok()) return within(job.import, std::move(tally).error());
  if (tally->kept == 0) {
    return fail(Code::Invalid,
                "{} gave no trace: of {} rows were dropped {}; look at a row and set `format` (now {}) or `columns`",
                job.import, tally->in, reasons_text(*tally), job.format);
  }
  RETORT_TRY(out.close(*tally, env));
  return tally;
}

Status book(const CollectJob& job, const JobPlace& place, Env& env) {
  const std::string store = place.work + "/collect.sqlite";
  if (!env.exists(store)) return {};
  RETORT_ASSIGN(auto log, store::AttemptLog::open_read_only(store, env));
  RETORT_ASSIGN(const auto rows, collect::cost_rows(log, place.stage, job.options.model));
  return ledger::append_costs(place.costs, rows, env);
}

// A teacher that lives as long as the collection: its address goes into the options.
struct LocalTeacher {
  std::unique_ptr<Teacher> procedural;
  std::unique_ptr<infer::Engine> engine;
  std::unique_ptr<serve::ApiServer> server;

  Status start(CollectJob& job, const JobPlace& place, Env& env) {
    if (job.procedural) {
      TeacherOptions options{job.teacher};
      options.port = 0;
      options.log = place.work + "/teacher.jsonl";
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

Status CollectJob::check(Env& env) const {
  RETORT_TRY(check_options(*this));
  if (prompts.empty() == import.empty())
    return fail(Code::Invalid, "give either `prompts`, a file of questions for the teacher, or `import`");
  const bool later = !permission.empty() && !env.exists(permission);  // an earlier step may write it
  if (!import.empty())
    return later ? Status() : dropped(collect::load_permission(permission, std::string(collect::kImportEndpoint), env));
  const int teachers =
      static_cast<int>(!options.endpoint.empty()) + static_cast<int>(!serve.empty()) + static_cast<int>(procedural);
  if (teachers != 1)
    return fail(
        Code::Invalid,
        "{} teachers are given; give one of `endpoint` (an API up to /v1), `serve` (a model here) and `procedural`",
        teachers);
  const std::string name = procedural ? teacher.model : options.model;
  if (!options.endpoint.empty() && name.empty())
    return fail(Code::Invalid, "give `model`, the teacher's name at {}", options.endpoint);
  // A teacher that is started here gets a free port and, where it is given no name, its own.
  if (!later)
    RETORT_TRY(dropped(collect::load_permission(
        permission, options.endpoint.empty() ? "http://127.0.0.1:1/v1" : options.endpoint, env)));
  const bool priced = access.prices.empty() || access.prices == kFree || env.exists(access.prices);
  if (priced && !name.empty()) RETORT_TRY(dropped(api_price(access, name, "", env)));
  if (options.cap.empty() && access.prices != kFree)
    return fail(Code::Invalid, "give `cap`, the most dollars that this collection may spend, such as 5.00");
  if (auto cap = parse_usd(options.cap.empty() ? "0" : options.cap); !cap.ok())
    return within("`cap`", std::move(cap).error());
  if (access.key_file.empty() || env.exists(access.key_file)) RETORT_TRY(dropped(api_key(access, env)));
  RETORT_TRY(dropped(collect::extra_members(options)));
  RETORT_TRY(dropped(extra_headers(options.headers, env)));
  return {};
}

Result<Tally> collect_files(CollectJob job, const JobPlace& place, Env& env) {
  // Held from before anything is opened: two collections never write one folder.
  RETORT_ASSIGN(const Folder folder, Folder::hold(place.out, kCollectMark, env));
  if (!job.import.empty()) return import_files(job, place, env);
  RETORT_ASSIGN(const Folder work, Folder::hold(place.work, kCollectMark, env));
  LocalTeacher local;
  RETORT_TRY(local.start(job, place, env));
  collect::Options& options = job.options;
  RETORT_ASSIGN(const auto permission, collect::load_permission(job.permission, options.endpoint, env));
  RETORT_ASSIGN(const auto price, api_price(job.access, options.model, "", env));
  if (job.access.prices == kFree && options.cap.empty()) options.cap = "0";
  RETORT_ASSIGN(const Secret key, api_key(job.access, env));
  RETORT_ASSIGN(auto prompts, open_jsonl<Prompt>(job.prompts));
  RETORT_ASSIGN(auto out, Output::create(place.out, env));

  net::CurlOptions curl;
  curl.ca_file = job.access.ca_file;
  net::CurlTransport transport(curl);
  wire::ApiOptions api;
  api.base_url = options.endpoint;
  api.model = options.model;
  api.stream = !job.access.no_stream;
  api.max_completion_tokens = job.access.max_completion_tokens;
  api.max_body_bytes = options.max_answer_bytes;
  RETORT_ASSIGN(Json extra, collect::extra_members(options));
  RETORT_ASSIGN(auto headers, extra_headers(options.headers, env));
  wire::ApiGenerator teacher(transport, api, key, std::move(extra), std::move(headers));

  collect::Place state;
  state.store = place.work + "/collect.sqlite";
  state.cancel = place.cancel;
  std::optional<Error> ended;
  state.ended = &ended;
  auto tally = collect::run(options, state, permission, price, *prompts, *out.traces, *out.rejects, teacher, env);
  const Status booked = book(job, place, env);
  if (!tally.ok()) return tally;
  RETORT_TRY(booked);
  if (tally->in == 0 && !ended)
    return fail(Code::Invalid, "{} holds no prompt to ask; see what was to write it", job.prompts);
  RETORT_TRY(out.close(*tally, env));
  if (ended) return std::move(*ended);
  return tally;
}

}  // namespace retort::app
