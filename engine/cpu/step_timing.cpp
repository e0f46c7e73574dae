#include "engine/cpu/step_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace caretd::engine {

namespace {

// Fetching and converting a weight takes about as long as this many multiplications with it.
constexpr double kWorkPerWeight = 6;
constexpr double kFewestTokens = 8;   // smaller steps do not touch all weights
constexpr double kNewestShare = 0.3;  // of the moving average
// What is planned of a duration: other programs make a step some tenths longer than the one before.
constexpr double kPlannedShare = 0.85;
constexpr double kFirstGuess = 1.0 / 50e9;  // seconds for one multiplication

}  // namespace

StepTiming::StepTiming(const ModelConfig& config)
    : work_per_step_(kWorkPerWeight * static_cast<double>(config.parameters())),
      work_per_token_(static_cast<double>(config.active_parameters())),
      work_per_token_and_key_(static_cast<double>(config.layers) * config.heads *
                              (config.kv_width() + config.kv_lora_rank)),
      seconds_per_work_(kFirstGuess) {}

double StepTiming::work(double tokens, double position) const {
  return tokens * (work_per_token_ + (position + tokens / 2) * work_per_token_and_key_);
}

void StepTiming::record(std::span<const TokenRun> batch, Duration took) {
  std::size_t tokens = 0;
  double total = work_per_step_;
  for (const TokenRun& run : batch) {
    tokens += run.tokens.size();
    total += work(static_cast<double>(run.tokens.size()), run.position);
  }
  if (static_cast<double>(tokens) < kFewestTokens) return;
  const double measured = std::chrono::duration<double>(took).count() / total;
  seconds_per_work_ += kNewestShare * (measured - seconds_per_work_);
}

int StepTiming::tokens_within(Duration duration, int position) const {
  // work(n, position) = budget, solved for n: a n^2 / 2 + b n = budget.
  const double planned = kPlannedShare * std::chrono::duration<double>(duration).count();
  const double budget = planned / seconds_per_work_ - work_per_step_;
  const double a = work_per_token_and_key_;
  const double b = work_per_token_ + position * a;
  const double tokens = (std::sqrt(b * b + 2 * a * std::max(budget, 0.0)) - b) / a;
  // Where not even the weights can be passed over in time, a chunk that costs as much as they do
  // makes the step twice as long and the prompt many times as fast. It also is a step to learn
  // from: a machine that was busy for a while would be taken for slow for ever.
  const double fewest = std::max(kFewestTokens, work_per_step_ / work_per_token_);
  return static_cast<int>(std::clamp(tokens, fewest, 1e9));
}

}  // namespace caretd::engine
