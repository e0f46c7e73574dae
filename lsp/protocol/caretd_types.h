// What goes beyond the specification (docs/protocol.md): the caretd/* messages.
#pragma once

#include <optional>
#include <string>

#include "engine/engine.h"
#include "lsp/features/completion_service.h"
#include "lsp/features/statistics.h"
#include "lsp/features/switches.h"
#include "lsp/protocol/types.h"

namespace caretd::lsp {

/// caretd/status, as a request's result and as a notification.
struct StatusReport {
  engine::EngineStatus engine;
  std::shared_ptr<const engine::ModelInfo> model;       ///< null until ready
  std::shared_ptr<const engine::ModelInfo> chat_model;  ///< null until ready, or if none can chat
  bool enabled = true;
  bool in_comments = true;
  std::vector<std::string> disabled_languages;
  std::vector<std::string> disabled_documents;
};
void to_json(Json& json, const StatusReport& value);

/// "global", "language", "document", "comments".
bool read(const Json& json, SwitchScope& value, const JsonPath& path);

/// caretd/setEnabled and the command caretd.setEnabled.
struct SetEnabledParams {
  SwitchScope scope = SwitchScope::global;
  std::string subject;
  bool enabled = true;
};
bool read(const Json& json, SetEnabledParams& value, const JsonPath& path);

/// caretd/stats.
struct StatisticsReport {
  StatisticsSnapshot completions;
  engine::EngineStatistics engine;
};
void to_json(Json& json, const StatisticsReport& value);

/// The counters of a snapshot out of what to_json wrote: to keep them between processes.
bool read(const Json& json, StatisticsSnapshot& value, const JsonPath& path);
void to_json(Json& json, const StatisticsSnapshot& value);

/// The same with the latencies behind its percentiles: what a file keeps.
bool read(const Json& json, StatisticsRecord& value, const JsonPath& path);
void to_json(Json& json, const StatisticsRecord& value);

/// caretd/why.
struct WhyReport {
  const CompletionTrace& trace;
  const engine::Tokenizer* tokenizer = nullptr;  ///< for the tokens' text; may be null
  PositionEncoding encoding = PositionEncoding::utf16;
};
void to_json(Json& json, const WhyReport& value);

}  // namespace caretd::lsp
