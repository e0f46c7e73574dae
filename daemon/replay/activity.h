// Whether anything is still under way in a server: what lets a replay wait for work that nobody
// announces the end of.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "support/executor.h"

namespace caretd::daemon::replay {

/// Counts tasks and generations. A thing under way is counted before what starts it ends, so the
/// count is zero only when nothing is left that could start more. Thread-safe.
class Activity {
 public:
  void begin() {
    const std::lock_guard lock(mutex_);
    ++under_way_;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (--under_way_ == 0) idle_.notify_all();
  }
  void wait_until_idle() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return under_way_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::int64_t under_way_ = 0;
};

/// Passes tasks on and counts them.
class CountingExecutor final : public Executor {
 public:
  CountingExecutor(Executor& beneath, Activity& activity)
      : beneath_(beneath), activity_(activity) {}

  void post(Task task) override {
    activity_.begin();
    beneath_.post([task = std::move(task), &activity = activity_]() mutable {
      task();
      task = nullptr;  // what the task held may end something, too
      activity.end();
    });
  }

 private:
  Executor& beneath_;
  Activity& activity_;
};

}  // namespace caretd::daemon::replay
