// The generations of one request and the reply they make.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/http/exchange.h"
#include "daemon/http/metrics.h"
#include "daemon/http/reply_format.h"
#include "engine/engine.h"
#include "support/clock.h"
#include "support/executor.h"

namespace caretd::daemon::api {

/// One generation of a job.
struct PlannedChoice {
  engine::GenerationRequest request;         ///< its `cancel` is set by the job
  std::string echo;                          ///< text of the prompt, where it is part of the reply
  std::vector<engine::TokenId> echo_tokens;  ///< with logprobs; request.prompt_logprobs is set
  bool truncated = false;
};

struct JobOptions {
  bool stream = false;
  bool logprobs = false;
  /// Once a line is there, generation ends so long after its first token (t_max_predict_ms).
  std::optional<Duration> time_after_line;
};

/// What jobs use; all of it outlives them.
struct JobEnvironment {
  Executor& workers;
  const Clock& clock;
  Metrics& metrics;
};

/// Submits the choices and answers `reply` when they are done, or event by event. The engine's
/// sinks keep it alive.
void run_job(engine::Engine& engine, std::vector<PlannedChoice> planned,
             std::shared_ptr<const engine::Tokenizer> tokenizer,
             std::shared_ptr<const ReplyFormat> format, const JobOptions& options,
             std::shared_ptr<Reply> reply, const JobEnvironment& environment);

}  // namespace caretd::daemon::api
