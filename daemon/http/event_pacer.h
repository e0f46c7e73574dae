// When streams are written: many of them in one wake of the I/O thread.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "support/clock.h"

namespace caretd::daemon {

/// A wake of the I/O thread and a write to a socket cost as much computing time as a token does
/// where the model is small, and the clients' own wakes come on top. So what may wait is written
/// with what the other streams have, and at most once in kEventPause; what may not takes all that
/// waits along.
class EventPacer {
 public:
  using Flush = std::function<void()>;

  /// Nobody sees text come in steps as short as this.
  static constexpr Duration kEventPause = std::chrono::milliseconds(10);

  /// What the I/O thread is asked for.
  struct IoThread {
    std::function<void()> call_run;            ///< calls run() soon; may be asked on any thread
    std::function<void(Duration)> call_pause;  ///< calls pause_over() after so long
  };
  explicit EventPacer(IoThread io) : io_(std::move(io)) {}

  /// Has `flush` called on the I/O thread, once. Any thread.
  void add(Flush flush, bool may_wait);
  /// Nothing waits any longer. Any thread.
  void hurry();

  // ---- on the I/O thread ------------------------------------------------------------------------
  void run();
  void pause_over();

 private:
  const IoThread io_;
  std::mutex mutex_;
  std::vector<Flush> waiting_;
  bool called_ = false;   ///< run() is on its way
  bool pausing_ = false;  ///< pause_over() is
};

}  // namespace caretd::daemon
