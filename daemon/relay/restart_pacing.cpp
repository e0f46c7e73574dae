#include "daemon/relay/restart_pacing.h"

#include <algorithm>

namespace caretd::daemon {

std::optional<Duration> RestartPacing::on_loss(TimePoint now) {
  while (!losses_.empty() && now - losses_.front() > kRestartWindow) losses_.pop_front();
  losses_.push_back(now);
  const auto count = losses_.size();
  if (count >= kMostLosses) return std::nullopt;
  if (count == 1) return Duration::zero();
  return std::min<Duration>(kFirstRestartPause * (1 << (count - 2)), kLongestRestartPause);
}

}  // namespace caretd::daemon
