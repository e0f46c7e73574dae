#include "lsp/postprocess/gate.h"

#include <cmath>

namespace caretd::lsp {

double GatePolicy::threshold(std::string_view language_id, bool is_automatic) const {
  if (!is_automatic) return invoked;
  const auto own = per_language.find(language_id);
  return own == per_language.end() ? automatic : own->second;
}

bool JointProbability::admits(const engine::TokenEvent& token, bool healing) {
  const double own = healing ? -std::log1p(std::exp(-static_cast<double>(token.margin)))
                             : static_cast<double>(token.logprob);
  const double joint = log_probability_ + own;
  if (threshold_ > 0.0 && joint < std::log(threshold_)) return false;
  log_probability_ = joint;
  return true;
}

}  // namespace caretd::lsp
