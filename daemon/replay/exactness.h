// Whether caching, rewinding and forking changed what the model says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/replay/probe_engine.h"
#include "engine/engine.h"
#include "support/result.h"

namespace caretd::daemon::replay {

/// Requests compared with a fresh engine that is given the whole prompt at once.
struct ExactnessReport {
  std::int64_t requests = 0;
  std::int64_t background = 0;  ///< of them decoded ahead
  std::int64_t tokens = 0;      ///< compared
  std::int64_t ties = 0;        ///< requests that part where two logits lie within the tolerance
  std::int64_t different = 0;   ///< requests that part elsewhere
  double largest_margin = 0;    ///< at the parting of a different one: best logit minus next
  std::vector<std::string> examples;  ///< of different ones, in words
};

/// Asks `engine` again, with an empty cache each time and the text of the prompt encoded anew in
/// one piece between control tokens (what is typed together with the forced prefix behind it),
/// greedily. A request that produced other tokens counts as a tie
/// where the first of them had a margin of at most `tolerance`.
[[nodiscard]] Result<ExactnessReport> check_exactness(engine::Engine& engine,
                                                      const std::vector<GenerationRecord>& records,
                                                      double tolerance,
                                                      const std::function<void(double)>& progress);

}  // namespace caretd::daemon::replay
