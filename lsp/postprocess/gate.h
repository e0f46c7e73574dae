// How sure the model has to be of what is shown.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace caretd::lsp {

/// Thresholds for the joint probability of a completion's tokens; 0 shows everything.
struct GatePolicy {
  double automatic = 0.5;  ///< for completions nobody asked for
  double invoked = 0.0;    ///< for those on request
  std::map<std::string, double, std::less<>>
      per_language;  ///< by languageId, in place of automatic

  [[nodiscard]] double threshold(std::string_view language_id, bool is_automatic) const;
};

/// Multiplies probabilities token by token. One per request.
class JointProbability {
 public:
  explicit JointProbability(double threshold) : threshold_(threshold) {}

  /// False: with this token the run is less likely than the threshold, so it ends before it.
  /// `healing`: nothing new was generated yet, so the token was chosen among those that agree with
  /// typed text, and the model's own figure would count against it what that text rules out. It
  /// counts with its share against the runner-up alone, 1 / (1 + e^-margin), which is too much; its
  /// exact share left little behind accepted text (docs/performance.md).
  [[nodiscard]] bool admits(const engine::TokenEvent& token, bool healing);

  /// Of the tokens admitted so far, natural logarithm.
  [[nodiscard]] double log_probability() const { return log_probability_; }

 private:
  double threshold_;
  double log_probability_ = 0.0;
};

}  // namespace caretd::lsp
