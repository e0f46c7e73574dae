#include "daemon/http/engine_choice.h"

#include <algorithm>
#include <string>

#include <spdlog/fmt/fmt.h>

namespace caretd::daemon::api {

using engine::EngineState;

namespace {

/// An engine and what its model is called according to the settings.
struct Candidate {
  std::shared_ptr<engine::Engine> engine;
  std::string_view configured;
};

/// Also while it loads: the other model's answer would be a surprise.
bool is_called(const Candidate& candidate, std::string_view name) {
  if (name.empty()) return false;
  const auto model = candidate.engine->model();
  return name == (model ? std::string_view(model->name) : candidate.configured);
}

}  // namespace

std::vector<std::shared_ptr<engine::Engine>> all_of(const SessionEngines& engines) {
  if (engines.chat == nullptr || engines.chat == engines.completion) return {engines.completion};
  return {engines.completion, engines.chat};
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

Parsed<ReadyEngine> choose_engine(const SessionEngines& engines, Purpose purpose,
                                  std::string_view wanted) {
  std::vector<Candidate> candidates{{engines.completion, engines.completion_model}};
  if (engines.chat != nullptr) candidates.push_back({engines.chat, engines.chat_model});
  if (purpose == Purpose::chat) std::ranges::reverse(candidates);
  const auto named = std::ranges::find_if(
      candidates, [wanted](const Candidate& candidate) { return is_called(candidate, wanted); });
  ReadyEngine ready{named == candidates.end() ? candidates.front().engine : named->engine, nullptr,
                    nullptr};
  ready.model = ready.engine->model();
  ready.tokenizer = ready.engine->tokenizer();
  const auto status = ready.engine->status();
  if (status.state != EngineState::ready || !ready.model) return tl::unexpected(not_ready(status));
  const bool unloaded = ready.model->local && !ready.tokenizer;  // between the two looks
  if (unloaded) return tl::unexpected(not_ready({.state = EngineState::ready}));
  return ready;
}

engine::EngineStatistics statistics_of(const SessionEngines& engines) {
  engine::EngineStatistics sum;
  for (const auto& engine : all_of(engines)) sum += engine->statistics();
  return sum;
}

}  // namespace caretd::daemon::api
