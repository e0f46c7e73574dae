// How soon a daemon that ended is replaced, and when no more.
#pragma once

#include <deque>
#include <optional>

#include "support/clock.h"

namespace caretd::daemon {

/// So many daemons ended within kRestartWindow: the next one would end as well.
inline constexpr int kMostLosses = 10;
inline constexpr Duration kRestartWindow = std::chrono::minutes(1);
inline constexpr Duration kFirstRestartPause = std::chrono::milliseconds(100);
inline constexpr Duration kLongestRestartPause = std::chrono::seconds(2);

/// A daemon that crashed once is replaced at once; one that ends before it has been of use will do
/// so again, and each start reads a model. Not thread-safe.
class RestartPacing {
 public:
  /// A daemon ended that nobody had told to. How long to wait before the next is started; nothing:
  /// give up.
  [[nodiscard]] std::optional<Duration> on_loss(TimePoint now);

  /// The daemon was of use: what ended before it does not count any more.
  void forget() { losses_.clear(); }

 private:
  std::deque<TimePoint> losses_;  // within the window
};

}  // namespace caretd::daemon
