// One generation for a completion: the sink that the engine feeds, and what came out.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "lsp/context/prompt_parts.h"
#include "lsp/postprocess/gate.h"
#include "lsp/postprocess/stop_rule.h"
#include "support/clock.h"

namespace caretd::lsp {

/// One generated token, kept for `caretd/why` and for alternatives.
struct GeneratedToken {
  engine::TokenId id = 0;
  std::size_t text_begin = 0;  ///< of its text in the run's
  float logprob = 0.0F;        ///< among the tokens that agree with what was typed
  float margin = 0.0F;
  std::optional<engine::TokenId> runner_up;
};

struct RunResult {
  std::string text;  ///< cut where the completion ends
  std::string stop_reason;
  bool complete = false;  ///< false: cancelled, failed or no longer wanted
  std::optional<Error> error;
  std::vector<GeneratedToken> tokens;
  engine::Usage usage;
};

struct RunOptions {
  /// Decoding ends in front of the token that takes the joint probability below this; 0: no gate
  /// (lsp/postprocess/gate.h).
  double min_probability = 0.0;
  /// How long an abandoned run goes on in the hope of a newer request that it fits.
  Duration grace = std::chrono::milliseconds(100);
};

/// Thread-safe: the engine's thread feeds it, the session's strand steers it.
class CompletionRun final : public engine::TokenSink {
 public:
  using Finished = std::function<void(RunResult)>;

  /// `finished` is called once, on the engine's thread.
  CompletionRun(PromptQuery query, RunOptions options, const Clock& clock, Finished finished);

  /// Before the run is submitted. `healing`: the first tokens spell what was typed. `begin` is
  /// text that the prompt brings already (a fork) and that the result begins with.
  void prepare(std::unique_ptr<StopRule> rule, bool healing, std::string begin);

  [[nodiscard]] const PromptQuery& query() const { return query_; }
  [[nodiscard]] std::stop_token cancel_token() const { return cancel_.get_token(); }
  void cancel() { cancel_.request_stop(); }

  /// A newer request in which `typed` was added behind the query's place. False if what was
  /// generated does not begin so, or nothing was generated yet though something was typed: a fresh
  /// run serves it better then. True: the run ends by itself as soon as it contradicts.
  [[nodiscard]] bool take_over(std::string typed);
  /// Nobody waits for it now: it ends after the grace unless it is taken over.
  void abandon();

  engine::Verdict on_token(const engine::TokenEvent& token) override;
  void on_finish(const engine::Generation& generation) override;

 private:
  [[nodiscard]] bool is_unwanted() const;

  const PromptQuery query_;
  std::unique_ptr<StopRule> rule_;
  const RunOptions options_;
  const Clock& clock_;
  Finished finished_;  ///< let go when called: it may hold what holds the run
  std::stop_source cancel_;

  std::mutex mutex_;  // everything below
  std::string text_;
  std::string typed_;
  std::optional<TimePoint> abandoned_;
  std::vector<GeneratedToken> tokens_;
  JointProbability probability_;
  bool healing_ = false;
  std::string begin_;
  std::optional<std::size_t> end_;
  std::string stop_reason_;
  bool unwanted_ = false;
};

}  // namespace caretd::lsp
