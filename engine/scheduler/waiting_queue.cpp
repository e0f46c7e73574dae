#include "engine/scheduler/waiting_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace caretd::engine {
namespace {

/// Fewer shared tokens than this are computed faster than waited for: the two prefills go into
/// the same step.
constexpr int kWorthWaiting = 32;

Sequence* find(const Sequences& sequences, std::uint64_t id) {
  const auto at =
      std::ranges::find_if(sequences, [id](const auto& sequence) { return sequence->id() == id; });
  return at == sequences.end() ? nullptr : at->get();
}

int common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto [end, ignored] = std::ranges::mismatch(a, b);
  return static_cast<int>(end - a.begin());
}

bool gives_way_before(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) {
  return std::pair(a->request().priority, a->id()) > std::pair(b->request().priority, b->id());
}

}  // namespace

std::unique_ptr<Sequence> WaitingQueue::push(std::unique_ptr<Sequence> sequence, int capacity) {
  sequences_.push_back(std::move(sequence));
  if (size() <= capacity) return nullptr;
  const auto refused = std::ranges::min_element(sequences_, gives_way_before);
  return take(**refused);
}

void WaitingQueue::put_back(std::unique_ptr<Sequence> sequence) {
  sequences_.push_back(std::move(sequence));
}

Sequence* WaitingQueue::next(FairShares& shares) const {
  Sequence* best = nullptr;
  const auto key = [&](const Sequence& sequence) {
    return std::tuple(sequence.request().priority, shares.tag(sequence), sequence.id());
  };
  for (const auto& sequence : sequences_) {
    if (sequence->scheduling.leader != 0) continue;
    if (best == nullptr || key(*sequence) < key(*best)) best = sequence.get();
  }
  return best;
}

bool WaitingQueue::has_more_urgent(Priority priority) const {
  return std::ranges::any_of(sequences_, [priority](const auto& sequence) {
    return sequence->request().priority < priority;
  });
}

std::unique_ptr<Sequence> WaitingQueue::take(const Sequence& sequence) {
  const auto at = std::ranges::find(sequences_, &sequence, &std::unique_ptr<Sequence>::get);
  std::unique_ptr<Sequence> taken = std::move(*at);
  sequences_.erase(at);
  return taken;
}

bool find_leader(Sequence& waiting, const Sequences& running, const KvCache& cache) {
  const std::span<const TokenId> wanted = waiting.reusable();
  int cached = -1;
  for (const auto& leader : running) {
    // What it has not computed yet is its prompt, or what it generated before a suspension.
    if (leader->pending() < kWorthWaiting) continue;
    const int shared = common_prefix(leader->tokens(), wanted);
    if (shared - leader->table.tokens() < kWorthWaiting) continue;
    if (cached < 0) cached = cache.cached_tokens(wanted);
    if (shared - cached < kWorthWaiting) continue;
    if (waiting.scheduling.leader != 0 && shared <= waiting.scheduling.shared_tokens) continue;
    waiting.scheduling.leader = leader->id();
    waiting.scheduling.shared_tokens = shared;
  }
  return waiting.scheduling.leader != 0;
}

void release_followers(const Sequences& waiting, const Sequences& running) {
  for (const auto& follower : waiting) {
    SchedulingState& state = follower->scheduling;
    if (state.leader == 0) continue;
    const Sequence* const leader = find(running, state.leader);
    if (leader != nullptr && leader->table.tokens() < state.shared_tokens) continue;
    state.leader = 0;
    state.shared_tokens = 0;
  }
}

void inherit_priorities(const Sequences& waiting, const Sequences& running) {
  for (const auto& sequence : running) {
    sequence->scheduling.effective = sequence->request().priority;
    sequence->scheduling.wanted_tokens = 0;
  }
  for (const auto& follower : waiting) {
    if (follower->scheduling.leader == 0) continue;
    Sequence* const leader = find(running, follower->scheduling.leader);
    if (leader == nullptr) continue;
    SchedulingState& state = leader->scheduling;
    state.effective = std::min(state.effective, follower->request().priority);
    state.wanted_tokens = std::max(state.wanted_tokens, follower->scheduling.shared_tokens);
  }
}

}  // namespace caretd::engine
