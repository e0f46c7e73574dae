// Limits on work that a busy machine does not shorten.
#pragma once

#include <ctime>

#include "support/clock.h"

namespace caretd {

/// The time that the calling thread has computed; times of one thread say nothing to another.
class ThreadClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return TimePoint{} + std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
};

}  // namespace caretd
