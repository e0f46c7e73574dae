// Which session is to be served next: start-time fair queueing (Goyal, Vin, Cheng, 1996) with the
// computed tokens as the cost.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

namespace caretd::engine {

/// One per scheduling class. A session that was idle competes from where the others are now: it
/// neither saves up nor is punished for the past.
class FairShare {
 public:
  /// The session with the smallest tag goes first.
  [[nodiscard]] std::uint64_t tag(std::uint64_t session) const;

  /// `session` gets `tokens` of service in this step.
  void charge(std::uint64_t session, int tokens);
  /// All of a step was charged: virtual time moves to the earliest start among it.
  void end_step();

 private:
  void forget_idle();

  std::unordered_map<std::uint64_t, std::uint64_t> finish_;  ///< virtual finish time by session
  std::uint64_t now_ = 0;                                    ///< virtual time
  std::optional<std::uint64_t> earliest_start_;              ///< of this step
};

}  // namespace caretd::engine
