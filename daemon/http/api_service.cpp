#include "daemon/http/api_service.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/http/prompts.h"
#include "daemon/http/requests.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon::api {

/// The engine with what a request needs of it, all of one moment.
struct ReadyEngine {
  std::shared_ptr<engine::Engine> engine;
  std::shared_ptr<const engine::ModelInfo> model;
  std::shared_ptr<const engine::Tokenizer> tokenizer;
};

namespace {

using engine::EngineState;
using engine::Priority;
using lsp::Json;

constexpr std::string_view kJson = "application/json";

void refuse(Reply& reply, const ApiError& error) {
  reply.respond(error.status, kJson, to_body(error), error.retry_after_s);
}

ApiError not_ready(const engine::EngineStatus& status) {
  switch (status.state) {
    case EngineState::starting:
      return http_error(503, fmt::format("The model is loading ({} %).", status.percent),
                        "model_loading");
    case EngineState::ready:
      return http_error(503, "The model has just been unloaded; try again.", "model_loading");
    default:
      return http_error(
          503, status.reason,
          "engine_" + std::string(status.state == EngineState::off ? "off" : "failed"));
  }
}

Parsed<ReadyEngine> ready_engine(const ServiceEnvironment& environment) {
  ReadyEngine ready{environment.engine(), nullptr, nullptr};
  ready.model = ready.engine->model();
  ready.tokenizer = ready.engine->tokenizer();
  const auto status = ready.engine->status();
  if (status.state != EngineState::ready || !ready.model) return tl::unexpected(not_ready(status));
  if (!ready.tokenizer) {
    return tl::unexpected(http_error(
        501, "This API serves a model of this process, and remote.url names one elsewhere.",
        "no_local_model"));
  }
  return ready;
}

/// The class that a client of ours asks for in a header; anything else means `otherwise`.
Priority priority_of(const Request& request, Priority otherwise) {
  if (request.priority == "keystroke") return Priority::keystroke;
  if (request.priority == "chat") return Priority::chat;
  if (request.priority == "background") return Priority::background;
  return otherwise;
}

}  // namespace

/// A request on its way to a job.
struct ApiService::Planned {
  ReadyEngine ready;
  std::vector<BuiltPrompt> prompts;
  std::vector<PlannedChoice> choices;

  [[nodiscard]] PromptTarget target() const { return {*ready.tokenizer, *ready.model}; }
};

struct ApiService::Route {
  std::string_view path;
  std::string_view method;
  void (ApiService::*run)(const Request&, const std::shared_ptr<Reply>&);
};

const ApiService::Route* ApiService::find_route(const std::string& path) {
  static constexpr std::array kRoutes = {
      Route{"/v1/chat/completions", "POST", &ApiService::chat},
      Route{"/v1/completions", "POST", &ApiService::completions},
      Route{"/infill", "POST", &ApiService::infill},
      Route{"/v1/models", "GET", &ApiService::models},
      Route{"/health", "GET", &ApiService::health},
      Route{"/metrics", "GET", &ApiService::metrics},
  };
  // Base URLs are given with and without the version.
  const std::string versioned = path.starts_with("/v1/") ? path : "/v1" + path;
  const auto found = std::ranges::find_if(
      kRoutes, [&](const Route& route) { return route.path == path || route.path == versioned; });
  return found == kRoutes.end() ? nullptr : &*found;
}

ApiService::ApiService(ServiceEnvironment environment) : environment_(std::move(environment)) {}

void ApiService::handle(Request request, std::shared_ptr<Reply> reply) {
  const Route* route = find_route(request.path);
  if (route == nullptr) {
    return refuse(*reply, http_error(404, "There is no " + request.path + " here; see docs/api.md.",
                                     "not_found"));
  }
  const bool allowed =
      request.method == route->method || (request.method == "HEAD" && route->method == "GET");
  if (!allowed) {
    return refuse(*reply, http_error(405, fmt::format("Use {} for {}.", route->method, route->path),
                                     "method_not_allowed"));
  }
  if (route->method == "GET") return run(*route, request, reply);
  environment_.on_activity();
  environment_.workers.post(
      [this, route, request = std::move(request), reply] { run(*route, request, reply); });
}

/// An exception costs the request and not the process.
void ApiService::run(const Route& route, const Request& request,
                     const std::shared_ptr<Reply>& reply) {
  try {
    (this->*route.run)(request, reply);
  } catch (const std::exception& exception) {
    environment_.log->error("{} failed: {}", route.path, exception.what());
    refuse(*reply, http_error(500, "An internal error; the log says more.", "internal_error"));
  }
}

void ApiService::responded(const std::string& path, int status) {
  const Route* route = find_route(path);
  environment_.metrics.responded(route == nullptr ? "other" : std::string(route->path), status);
}

// ---- what is asked about the server -----------------------------------------------------------

void ApiService::health(const Request&, const std::shared_ptr<Reply>& reply) {
  const auto status = environment_.engine()->status();
  if (status.state != EngineState::ready) return refuse(*reply, not_ready(status));
  reply->respond(200, kJson, R"({"status":"ok"})");
}

void ApiService::models(const Request&, const std::shared_ptr<Reply>& reply) {
  environment_.on_activity();  // whoever asks is about to use it
  const auto engine = environment_.engine();
  const auto model = engine->model();
  if (!model) return refuse(*reply, not_ready(engine->status()));
  const Json entry{{"id", model->name},
                   {"object", "model"},
                   {"created", environment_.unix_time()},
                   {"owned_by", "caretd"},
                   {"max_model_len", model->context_tokens}};
  reply->respond(200, kJson, lsp::to_string({{"object", "list"}, {"data", Json::array({entry})}}));
}

void ApiService::metrics(const Request&, const std::shared_ptr<Reply>& reply) {
  const auto engine = environment_.engine();
  const bool ready = engine->status().state == EngineState::ready;
  reply->respond(200, "text/plain; version=0.0.4; charset=utf-8",
                 environment_.metrics.render(engine->statistics(), ready, connections_));
}

// ---- generation -------------------------------------------------------------------------------

void ApiService::completions(const Request& request, const std::shared_ptr<Reply>& reply) {
  auto fields = parse_completion(request.body);
  if (!fields) return refuse(*reply, fields.error());
  auto ready = ready_engine(environment_);
  if (!ready) return refuse(*reply, ready.error());
  Planned planned{*std::move(ready), {}, {}};
  for (const RawPrompt& prompt : fields->prompts) {
    auto built = completion_prompt(*fields, prompt, planned.target());
    if (!built) return refuse(*reply, built.error());
    planned.prompts.push_back(*std::move(built));
  }
  CommonFields& common = fields->common;
  if (!common.max_tokens) common.max_tokens = kDefaultCompletionTokens;
  plan_choices(planned, request, common, Priority::chat);
  const auto n = static_cast<std::size_t>(common.n);
  for (std::size_t i = 0; i < planned.choices.size(); ++i) {
    PlannedChoice& choice = planned.choices[i];
    choice.request.top_logprobs = fields->logprobs.value_or(0);
    if (!fields->echo) continue;
    const std::vector<engine::TokenId>& ids = planned.prompts[i / n].tokens;
    choice.echo = planned.ready.tokenizer->decode(ids);
    if (!fields->logprobs) continue;
    choice.request.prompt_logprobs = true;
    choice.echo_tokens = ids;
  }
  const JobOptions options{common.stream && !fields->echo, fields->logprobs.has_value(), {}};
  if (common.stream && fields->echo) {
    return refuse(*reply, unsupported_field("echo", "echo cannot be streamed."));
  }
  run_job(*planned.ready.engine, std::move(planned.choices), planned.ready.tokenizer,
          completion_format(head("cmpl-", *planned.ready.model), *fields), options, reply,
          job_environment());
}

void ApiService::chat(const Request& request, const std::shared_ptr<Reply>& reply) {
  auto fields = parse_chat(request.body);
  if (!fields) return refuse(*reply, fields.error());
  auto ready = ready_engine(environment_);
  if (!ready) return refuse(*reply, ready.error());
  Planned planned{*std::move(ready), {}, {}};
  auto built = conversation_prompt(*fields, planned.target());
  if (!built) return refuse(*reply, built.error());
  planned.prompts.push_back(*std::move(built));
  const bool warm_up = fields->common.max_tokens == 0;
  plan_choices(planned, request, fields->common, warm_up ? Priority::background : Priority::chat);
  for (PlannedChoice& choice : planned.choices) {
    choice.request.top_logprobs = fields->logprobs ? fields->top_logprobs : 0;
  }
  run_job(*planned.ready.engine, std::move(planned.choices), planned.ready.tokenizer,
          chat_format(head("chatcmpl-", *planned.ready.model), *fields),
          {fields->common.stream, fields->logprobs, {}}, reply, job_environment());
}

void ApiService::infill(const Request& request, const std::shared_ptr<Reply>& reply) {
  auto fields = parse_infill(request.body);
  if (!fields) return refuse(*reply, fields.error());
  auto ready = ready_engine(environment_);
  if (!ready) return refuse(*reply, ready.error());
  Planned planned{*std::move(ready), {}, {}};
  auto built = infill_prompt(*fields, planned.target());
  if (!built) return refuse(*reply, built.error());
  planned.prompts.push_back(*std::move(built));
  CommonFields common;
  common.sampling = fields->sampling;
  common.seed = fields->seed;
  common.n = fields->n;
  common.max_tokens = fields->max_tokens;
  common.stop = fields->stop;
  const bool warm_up = fields->max_tokens == 0;
  plan_choices(planned, request, common, warm_up ? Priority::background : Priority::keystroke);
  run_job(*planned.ready.engine, std::move(planned.choices), planned.ready.tokenizer,
          infill_format(head("infill-", *planned.ready.model), *fields),
          {fields->stream, false, fields->time_limit}, reply, job_environment());
}

/// `n` choices for each prompt, in the order of the prompts.
void ApiService::plan_choices(Planned& planned, const Request& request, const CommonFields& fields,
                              Priority priority) const {
  for (const BuiltPrompt& prompt : planned.prompts) {
    for (int i = 0; i < fields.n; ++i) {
      PlannedChoice choice;
      choice.request = generation(request, priority);
      choice.request.prompt = {prompt.tokens};
      choice.request.forced_prefix = prompt.forced_prefix;
      choice.request.sampling = fields.sampling;
      choice.request.sampling.seed = seed(fields.seed, i);
      choice.request.max_tokens = fields.max_tokens.value_or(planned.ready.model->context_tokens);
      choice.request.stop = fields.stop;
      choice.request.stop_at_end_of_sentence = !fields.ignore_eos;
      choice.truncated = prompt.truncated;
      planned.choices.push_back(std::move(choice));
    }
  }
}

engine::GenerationRequest ApiService::generation(const Request& request, Priority priority) const {
  engine::GenerationRequest generation;
  generation.priority = priority_of(request, priority);
  // Sessions of editors count from 1; connections are told apart from them by the highest bit.
  generation.session = request.connection | (std::uint64_t{1} << 63);
  return generation;
}

std::uint64_t ApiService::seed(const std::optional<std::uint64_t>& wanted, int choice) const {
  return wanted ? *wanted + static_cast<std::uint64_t>(choice) : environment_.random();
}

ReplyHead ApiService::head(const char* prefix, const engine::ModelInfo& model) const {
  return {fmt::format("{}{:016x}{:016x}", prefix, environment_.random(), environment_.random()),
          model.name, environment_.unix_time()};
}

JobEnvironment ApiService::job_environment() const {
  return {environment_.workers, environment_.clock, environment_.metrics};
}

}  // namespace caretd::daemon::api
