// The read bandwidth of this machine's memory: the ceiling of decoding on the CPU.
#pragma once

#include "support/clock.h"
#include "support/result.h"

namespace caretd::engine {

/// Bytes per second of a read-only stream over 256 MB by `threads` threads (0: every core the
/// process may use), the fastest of several passes within about `duration`.
[[nodiscard]] Result<double> measure_read_bandwidth(int threads, Duration duration,
                                                    const Clock& clock);

}  // namespace caretd::engine
