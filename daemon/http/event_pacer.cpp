#include "daemon/http/event_pacer.h"

#include <utility>

namespace caretd::daemon {

void EventPacer::add(Flush flush, bool may_wait) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(flush));
    if (called_ || (pausing_ && may_wait)) return;
    called_ = true;
  }
  io_.call_run();
}

void EventPacer::hurry() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(called_, true)) return;
  }
  io_.call_run();
}

void EventPacer::run() {
  bool pause = false;
  std::vector<Flush> flushes;
  {
    const std::lock_guard lock(mutex_);
    called_ = false;
    flushes.swap(waiting_);
    pause = !std::exchange(pausing_, true);
  }
  for (const Flush& flush : flushes) flush();
  if (pause) io_.call_pause(kEventPause);
}

/// As long as there are events the pauses follow one another, and nobody has to wake the thread.
void EventPacer::pause_over() {
  std::vector<Flush> flushes;
  {
    const std::lock_guard lock(mutex_);
    flushes.swap(waiting_);
    pausing_ = !flushes.empty();
  }
  for (const Flush& flush : flushes) flush();
  if (!flushes.empty()) io_.call_pause(kEventPause);
}

}  // namespace caretd::daemon
