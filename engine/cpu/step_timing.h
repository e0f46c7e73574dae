// Predicts how long a prefill step takes, from the steps measured so far.
#pragma once

#include <span>

#include "engine/checkpoint/model_config.h"
#include "engine/runner.h"
#include "support/clock.h"

namespace caretd::engine {

/// The cost of a token is proportional to its multiplications: those of the active weights, and
/// those of the attention, which grow with its position. The speed is what recent steps reached;
/// a step of few tokens is slower for each of them, as it reads more weights than it uses, and has
/// a speed of its own.
class StepTiming {
 public:
  explicit StepTiming(const ModelConfig& config);

  void record(std::span<const TokenRun> batch, Duration took);
  /// Tokens of one run at `position` that fit into `duration`; at least 1.
  [[nodiscard]] int tokens_within(Duration duration, int position) const;

 private:
  [[nodiscard]] double work(double tokens, double position) const;

  double work_per_token_;
  double work_per_token_and_key_;
  double seconds_per_work_;
};

}  // namespace caretd::engine
