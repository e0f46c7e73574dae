// Measurements of a runner and of the machine under it.
#pragma once

#include <vector>

#include "engine/runner.h"
#include "engine/verify/sequence_driver.h"
#include "support/clock.h"

namespace caretd::daemon {

/// Bytes a second that `threads` threads read from memory far larger than the caches; the best of
/// several passes.
[[nodiscard]] double measure_read_bandwidth(int threads, const Clock& clock);

struct DecodePoint {
  int context = 0;  ///< tokens in the cache when decoding began
  double tokens_per_second = 0;
};

/// Best of `repeats` runs each; a run costs a second or two on the embedded model.
struct BenchResult {
  int prompt_tokens = 0;
  double prompt_tokens_per_second = 0;
  std::vector<DecodePoint> decode;
  int append_context = 0;        ///< what three tokens were appended to; 0: the window is too short
  Duration append_and_decode{};  ///< three tokens appended and eight decoded
};
[[nodiscard]] Result<BenchResult> bench_runner(engine::Runner& runner, int vocabulary,
                                               int context_tokens, int repeats, const Clock& clock);

}  // namespace caretd::daemon
