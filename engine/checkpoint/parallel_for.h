// A loop over independent pieces of work, for passes over whole checkpoints.
#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>

#include "support/result.h"

namespace caretd::engine {

struct ParallelOptions {
  int threads = 0;                       ///< 0: as many as the machine has cores
  std::function<void(double)> progress;  ///< share done in 0..1; one call at a time, any thread
  std::stop_token stop;                  ///< looked at before each piece
};

/// Calls work(i) once for every i below `count`, in rising order of i but on several threads, and
/// returns when all are done. The first error ends the loop and is returned; a stop gives
/// ErrorKind::cancelled; an exception thrown by `work` gives an error as well.
[[nodiscard]] Result<void> parallel_for(size_t count, const ParallelOptions& options,
                                        const std::function<Result<void>(size_t)>& work);

}  // namespace caretd::engine
