// One generation on its way: planned on a worker, run by the engine, tidied on a worker.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "lsp/features/completion_pipeline.h"
#include "lsp/features/completion_run.h"
#include "lsp/features/statistics.h"
#include "support/executor.h"

namespace caretd::lsp {

/// How a suggestion came about, for `caretd/why`.
struct CompletionTrace {
  DocumentSnapshot document;
  std::size_t offset = 0;
  AnswerSource source = AnswerSource::model;
  std::vector<PromptPiece> pieces;
  std::string forced_prefix;
  std::string text;
  std::string stop_reason;
  std::vector<GeneratedToken> tokens;
  engine::Usage usage;
  Duration context{};  ///< building the prompt
  Duration total{};    ///< request to answer
};

/// A second way from a point of another generation: the tokens up to there and its runner-up.
struct Fork {
  std::vector<engine::TokenId> tokens;
  std::string text;  ///< what they decode to, healed bytes removed
};

/// The strand makes it and reads it when it is finished; between, the job has it to itself.
struct CompletionJob {
  std::uint64_t ticket = 0;  ///< the request it was started for, 0 for none
  PlanRequest request;
  std::optional<Fork> fork;
  std::uint64_t session = 0;

  std::shared_ptr<CompletionRun> run;
  CompletionPlan plan;
  std::optional<FinishedText> text;
  std::shared_ptr<CompletionTrace> trace = std::make_shared<CompletionTrace>();
};

/// Where jobs run; all of it outlives them.
struct JobEnvironment {
  std::shared_ptr<CompletionPipeline> pipeline;
  std::shared_ptr<engine::Engine> engine;
  Executor& workers;
  const Clock& clock;
};

/// It computes KV and generates nothing.
[[nodiscard]] bool is_warm_up(PlanPurpose purpose);

/// Starts the job. `finished` is called once, on a worker, whatever happens.
void launch(const std::shared_ptr<CompletionJob>& job, const JobEnvironment& environment,
            std::function<void(const RunResult&)> finished);

/// Where alternatives of a finished generation begin: in front of the tokens that were chosen by
/// the smallest margins, at most `limit`, those closest to a tie first.
[[nodiscard]] std::vector<Fork> choose_forks(const CompletionJob& job, const RunResult& result,
                                             const engine::Tokenizer& tokenizer, std::size_t limit);

}  // namespace caretd::lsp
