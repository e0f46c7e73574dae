// How fast a runner is: what `caretd bench` prints.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/runner.h"
#include "support/clock.h"

namespace caretd::engine {

/// What to measure. Everything that does not fit into the runner's pages is left out.
struct BenchPlan {
  int prompt_tokens = 512;                  ///< in as few steps as the runner takes
  std::vector<int> contexts = {128, 1500};  ///< tokens in the cache before decoding
  int decode_tokens = 32;                   ///< decoded one by one at each context
  /// A keystroke: tokens appended to a cached prompt, then tokens decoded.
  int cached_tokens = 1500;
  int appended_tokens = 3;
  int answered_tokens = 8;
  /// Sequences decoding together, each with its own context.
  int sequences = 8;
  int sequence_context = 256;
  int repeats = 5;  ///< the fastest one counts: other programs only ever make a run slower
};

struct DecodeSpeed {
  int context = 0;
  double tokens_per_second = 0;
  /// Weights and KV rows that one token reads.
  std::int64_t bytes_per_token = 0;
  [[nodiscard]] double bytes_per_second() const {
    return tokens_per_second * static_cast<double>(bytes_per_token);
  }
};

struct BenchReport {
  double prompt_tokens_per_second = 0;
  std::vector<DecodeSpeed> decode;  ///< one for each context that fits
  Duration keystroke{};  ///< of the appended and the answered tokens together; 0: no room
  double together_tokens_per_second = 0;  ///< of all sequences; 0: no room
};

/// Runs pseudo-random tokens (the same ones each time) through the runner, whose pages it uses all
/// as it likes. The first repeat warms up; an Error is one of the runner's.
[[nodiscard]] Result<BenchReport> run_bench(Runner& runner, const BenchPlan& plan, int vocabulary,
                                            const Clock& clock);

}  // namespace caretd::engine
