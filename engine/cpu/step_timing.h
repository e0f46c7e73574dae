// Predicts how long a prefill step takes, from the steps measured so far.
#pragma once

#include <span>

#include "engine/checkpoint/model_config.h"
#include "engine/runner.h"
#include "support/clock.h"

namespace caretd::engine {

/// A step costs one pass over all weights, whatever the number of tokens, and for each token the
/// multiplications of its active weights and of the attention, which grow with its position. How
/// long a multiplication takes is what recent steps took.
class StepTiming {
 public:
  explicit StepTiming(const ModelConfig& config);

  void record(std::span<const TokenRun> batch, Duration took);
  /// Tokens of one run at `position` that fit into `duration`; never so few that the pass over the
  /// weights is most of the step.
  [[nodiscard]] int tokens_within(Duration duration, int position) const;

 private:
  [[nodiscard]] double work(double tokens, double position) const;

  double work_per_step_;
  double work_per_token_;
  double work_per_token_and_key_;
  double seconds_per_work_;
};

}  // namespace caretd::engine
