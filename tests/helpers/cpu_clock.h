// The time that the calling thread has computed: other processes on the machine do not count.
#pragma once

#include <ctime>

#include "support/clock.h"

namespace caretd::test {

class CpuClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return TimePoint{} + std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
};

}  // namespace caretd::test
