// Time as a dependency: production code takes a Clock&, tests pass a ManualClock.
#pragma once

#include <atomic>
#include <chrono>

namespace caretd {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// Monotonic time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
};

/// A clock that moves only when told to. For tests and for the deterministic replay.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  void advance(Duration by);

 private:
  std::atomic<Duration::rep> since_epoch_{0};
};

/// Milliseconds with a fraction, for statistics and messages.
[[nodiscard]] inline double to_milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace caretd
