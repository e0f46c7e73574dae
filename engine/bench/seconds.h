// Durations as the number that rates are computed with.
#pragma once

#include <chrono>

#include "support/clock.h"

namespace caretd::engine {

[[nodiscard]] inline double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace caretd::engine
