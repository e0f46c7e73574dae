// The requests that wait for their turn.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/scheduler/fair_share.h"
#include "engine/scheduler/sequence.h"

namespace caretd::engine {

using Sequences = std::vector<std::unique_ptr<Sequence>>;

/// One FairShare for each Priority.
class FairShares {
 public:
  [[nodiscard]] FairShare& of(const Sequence& sequence) {
    return shares_[static_cast<size_t>(sequence.request().priority)];
  }
  [[nodiscard]] std::uint64_t tag(const Sequence& sequence) {
    return of(sequence).tag(sequence.request().session);
  }
  void end_step() {
    for (FairShare& share : shares_) share.end_step();
  }

 private:
  std::array<FairShare, 3> shares_;
};

class WaitingQueue {
 public:
  /// Takes a new request in. Where more than `capacity` wait then, a request of the least urgent
  /// class gives way, the newest first. Returns what was refused, the new request itself or
  /// another; null if nothing was.
  [[nodiscard]] std::unique_ptr<Sequence> push(std::unique_ptr<Sequence> sequence, int capacity);

  /// Takes back a sequence that was running; the bound does not apply.
  void put_back(std::unique_ptr<Sequence> sequence);

  /// The sequence to start next: the most urgent class, the session that is due, the first to
  /// arrive. Leaves out those that wait for a leader. Null if there is none.
  [[nodiscard]] Sequence* next(FairShares& shares) const;

  /// True if somebody waits who is more urgent than `priority`.
  [[nodiscard]] bool has_more_urgent(Priority priority) const;

  [[nodiscard]] std::unique_ptr<Sequence> take(const Sequence& sequence);

  [[nodiscard]] Sequences& sequences() { return sequences_; }
  [[nodiscard]] const Sequences& sequences() const { return sequences_; }
  [[nodiscard]] int size() const { return static_cast<int>(sequences_.size()); }

 private:
  Sequences sequences_;
};

/// Makes `waiting` wait for a running sequence that is about to compute much of what it begins
/// with, instead of computing the same a second time. True if it has to wait.
[[nodiscard]] bool find_leader(Sequence& waiting, const Sequences& running, const KvCache& cache);

/// Ends the wait of those whose leader has come far enough or is no longer running.
void release_followers(const Sequences& waiting, const Sequences& running);

/// Lets running sequences inherit the priority of those that wait for what they compute.
void inherit_priorities(const Sequences& waiting, const Sequences& running);

}  // namespace caretd::engine
