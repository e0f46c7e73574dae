#include "daemon/http/api_service.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/http/requests.h"
#include "lsp/protocol/json.h"

namespace caretd::daemon::api {

namespace {

using engine::EngineState;
using engine::Priority;
using lsp::Json;

constexpr std::string_view kJson = "application/json";

void refuse(Reply& reply, const ApiError& error) {
  reply.respond(error.status, kJson, to_body(error), error.retry_after_s);
}

/// The class that a client of ours asks for in a header; anything else means `otherwise`.
Priority priority_of(const Request& request, Priority otherwise) {
  if (request.priority == "keystroke") return Priority::keystroke;
  if (request.priority == "chat") return Priority::chat;
  if (request.priority == "background") return Priority::background;
  return otherwise;
}

}  // namespace

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
  for (const auto& engine : all_of(environment_.engines())) {
    const auto status = engine->status();
    if (status.state != EngineState::ready) return refuse(*reply, not_ready(status));
  }
  reply->respond(200, kJson, R"({"status":"ok"})");
}

void ApiService::models(const Request&, const std::shared_ptr<Reply>& reply) {
  environment_.on_activity();  // whoever asks is about to use one
  const auto engines = all_of(environment_.engines());
  Json list = Json::array();
  for (const auto& engine : engines) {
    const auto model = engine->model();
    if (!model) continue;
    Json& entry = list.emplace_back(Json{{"id", model->name},
                                         {"object", "model"},
                                         {"created", environment_.unix_time()},
                                         {"owned_by", "caretd"}});
    if (model->context_tokens > 0) entry["max_model_len"] = model->context_tokens;
  }
  if (list.empty()) return refuse(*reply, not_ready(engines.front()->status()));
  reply->respond(200, kJson, lsp::to_string({{"object", "list"}, {"data", std::move(list)}}));
}

void ApiService::metrics(const Request&, const std::shared_ptr<Reply>& reply) {
  const SessionEngines engines = environment_.engines();
  const bool ready = std::ranges::all_of(all_of(engines), [](const auto& engine) {
    return engine->status().state == EngineState::ready;
  });
  reply->respond(200, "text/plain; version=0.0.4; charset=utf-8",
                 environment_.metrics.render(statistics_of(engines), ready, connections_));
}

// ---- generation -------------------------------------------------------------------------------

/// What sets one endpoint that generates apart from the others.
template <typename Fields>
struct ApiService::Endpoint {
  Parsed<Fields> (*parse)(std::string_view body);
  Parsed<GenerationPlan> (*plan)(const Fields&, const ReadyEngine&);
  std::unique_ptr<ReplyFormat> (*format)(ReplyHead, const Fields&);
  Purpose purpose;
  const char* id_prefix;  ///< of replies
};

void ApiService::completions(const Request& request, const std::shared_ptr<Reply>& reply) {
  generate<CompletionFields>(
      {parse_completion, plan_completion, completion_format, Purpose::completion, "cmpl-"}, request,
      reply);
}

void ApiService::chat(const Request& request, const std::shared_ptr<Reply>& reply) {
  generate<ChatFields>({parse_chat, plan_chat, chat_format, Purpose::chat, "chatcmpl-"}, request,
                       reply);
}

void ApiService::infill(const Request& request, const std::shared_ptr<Reply>& reply) {
  generate<InfillFields>({parse_infill, plan_infill, infill_format, Purpose::completion, "infill-"},
                         request, reply);
}

template <typename Fields>
void ApiService::generate(const Endpoint<Fields>& endpoint, const Request& request,
                          const std::shared_ptr<Reply>& reply) {
  const auto fields = endpoint.parse(request.body);
  if (!fields) return refuse(*reply, fields.error());
  const auto ready = choose_engine(environment_.engines(), endpoint.purpose, fields->common.model);
  if (!ready) return refuse(*reply, ready.error());
  auto plan = endpoint.plan(*fields, *ready);
  if (!plan) return refuse(*reply, plan.error());
  complete(*plan, request, fields->common);
  run_job(*ready->engine, std::move(plan->choices), ready->tokenizer,
          endpoint.format(head(endpoint.id_prefix, *ready->model), *fields), plan->options, reply,
          {environment_.workers, environment_.clock, environment_.metrics});
}

/// Adds what is not in the fields: who asks, how urgently, and seeds where none was sent.
void ApiService::complete(GenerationPlan& plan, const Request& request,
                          const CommonFields& fields) const {
  // Sessions of editors count from 1; connections are told apart from them by the highest bit.
  const std::uint64_t session = request.connection | (std::uint64_t{1} << 63);
  const auto n = static_cast<std::size_t>(fields.n);
  for (std::size_t i = 0; i < plan.choices.size(); ++i) {
    engine::GenerationRequest& generation = plan.choices[i].request;
    generation.session = session;
    generation.priority = priority_of(request, generation.priority);
    generation.sampling.seed = fields.seed ? *fields.seed + i % n : environment_.random();
  }
}

ReplyHead ApiService::head(const char* prefix, const engine::ModelInfo& model) const {
  return {fmt::format("{}{:016x}{:016x}", prefix, environment_.random(), environment_.random()),
          model.name, environment_.unix_time()};
}

}  // namespace caretd::daemon::api
