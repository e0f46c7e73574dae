#include "engine/scheduler/fair_share.h"

#include <algorithm>

namespace caretd::engine {
namespace {

constexpr std::size_t kManySessions = 1024;

}  // namespace

std::uint64_t FairShare::tag(std::uint64_t session) const {
  const auto entry = finish_.find(session);
  return entry == finish_.end() ? now_ : std::max(now_, entry->second);
}

void FairShare::charge(std::uint64_t session, int tokens) {
  const std::uint64_t start = tag(session);
  finish_[session] = start + static_cast<std::uint64_t>(tokens);
  earliest_start_ = std::min(start, earliest_start_.value_or(start));
}

void FairShare::end_step() {
  if (!earliest_start_) return;
  now_ = *earliest_start_;
  earliest_start_.reset();
  if (finish_.size() > kManySessions) forget_idle();
}

/// Entries that lie in the past say nothing.
void FairShare::forget_idle() {
  std::erase_if(finish_, [this](const auto& entry) { return entry.second <= now_; });
}

}  // namespace caretd::engine
