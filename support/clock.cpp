#include "support/clock.h"

namespace caretd {

TimePoint ManualClock::now() const { return TimePoint(Duration(since_epoch_.load())); }

void ManualClock::advance(Duration by) { since_epoch_.fetch_add(by.count()); }

}  // namespace caretd
