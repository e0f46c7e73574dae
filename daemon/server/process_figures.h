// What the system says about this process, for `caretd daemon status` and leak tests.
#pragma once

#include <cstdint>

namespace caretd::daemon {

struct ProcessFigures {
  std::int64_t resident_bytes = 0;
  int descriptors = 0;
  int threads = 0;
};

/// Zeros where /proc is not there.
[[nodiscard]] ProcessFigures process_figures();

}  // namespace caretd::daemon
