// Whether measured times are held to their goals: a busy or a slow machine misses them.
#pragma once

#include <cstdlib>

namespace caretd::test {

/// CARETD_ENFORCE_TIMES=1 is for a machine that does nothing else.
[[nodiscard]] inline bool times_are_enforced() {
  return std::getenv("CARETD_ENFORCE_TIMES") != nullptr;
}

}  // namespace caretd::test
