// Which of the process's models a request is for.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "daemon/engines/engine_provider.h"
#include "daemon/http/api_error.h"
#include "engine/engine.h"

namespace caretd::daemon::api {

/// An engine with what a request needs of it, all of one moment.
struct ReadyEngine {
  std::shared_ptr<engine::Engine> engine;
  std::shared_ptr<const engine::ModelInfo> model;
  std::shared_ptr<const engine::Tokenizer> tokenizer;  ///< may be null for a model elsewhere
};

/// What an endpoint asks for, unless the request names a model.
enum class Purpose : std::uint8_t { completion, chat };

/// The engine of the model that is called `wanted`, loaded or not, else the one for the purpose:
/// clients name models of other servers, too. An error says why the engine is not ready.
[[nodiscard]] Parsed<ReadyEngine> choose_engine(const SessionEngines& engines, Purpose purpose,
                                                std::string_view wanted);

/// The one that completes first; once where it is the one that chats.
[[nodiscard]] std::vector<std::shared_ptr<engine::Engine>> all_of(const SessionEngines& engines);

/// 503 with what keeps an engine from serving.
[[nodiscard]] ApiError not_ready(const engine::EngineStatus& status);

/// Of all engines together: sums, and the longest step of any.
[[nodiscard]] engine::EngineStatistics statistics_of(const SessionEngines& engines);

}  // namespace caretd::daemon::api
