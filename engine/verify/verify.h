// Verification of a runner against golden cases, along every path that fills the KV cache.
#pragma once

#include <string>
#include <vector>

#include "engine/runner.h"
#include "engine/text/tokenizer.h"
#include "engine/verify/golden_file.h"

namespace caretd::engine {

/// What counts as equal. Log-likelihoods are natural logarithms.
struct VerifyBounds {
  double max_nll = 0;        ///< largest difference of one token's log-likelihood
  double mean_nll = 0;       ///< mean absolute difference over a case
  double top_margin = 0;     ///< golden logits closer than this may swap places
  double greedy_margin = 0;  ///< below it a greedy step may differ, and the comparison ends
  double path = 0;           ///< largest difference between two ways to feed one prompt
};

/// For float32 arithmetic.
[[nodiscard]] VerifyBounds precise_bounds();
/// For paths that round (BF16 products).
[[nodiscard]] VerifyBounds fast_bounds();

struct CaseReport {
  std::string name;
  int tokens = 0;
  bool ids_equal = false;
  double max_nll = 0;
  double mean_nll = 0;
  bool top_in_order = false;
  int greedy_equal = 0;             ///< steps that agree
  int greedy_compared = 0;          ///< steps up to the first uncertain or wrong one
  double path = 0;                  ///< worst difference between the paths
  std::vector<std::string> misses;  ///< one phrase for every bound that does not hold
};

/// Runs one case: the prompt in large pieces against the golden numbers, then token by token, in
/// random pieces, after a rewind and on a cached prefix against the first run. The seed picks the
/// pieces. An Error means that the runner failed, not that it missed.
[[nodiscard]] Result<CaseReport> verify_case(Runner& runner, const Tokenizer& tokenizer,
                                             const GoldenCase& golden, const VerifyBounds& bounds,
                                             unsigned seed);

}  // namespace caretd::engine
