// Who takes part in the next step, and with how many tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "engine/local_engine.h"
#include "engine/runner.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/waiting_queue.h"

namespace caretd::engine {

struct BatchEntry {
  Sequence* sequence = nullptr;
  int count = 0;  ///< of its pending tokens
};

/// What a step is made of: says afterwards why it took so long.
struct StepShape {
  bool editor_active = false;
  bool serves_keystroke = false;
  int decoding = 0;       ///< sequences with one token each
  int prompts = 0;        ///< sequences with tokens of their prompts
  int prompt_tokens = 0;  ///< of all of them
  int position = 0;       ///< of the first token of the first of them
  Duration target{};      ///< that the prompt tokens were counted for
};

/// Rules, in this order:
/// - The most urgent class that is running takes part. Every now and then one step takes the others
///   along, so that they are slowed down but never stopped.
/// - Within a class decoding goes before prefill, then the session that is due.
/// - Prefill is cut so that the step takes about as long as the options say: background_step where
///   a keystroke may arrive during it, keystroke_step where no editor is active; where it serves a
///   keystroke, as short as is worth while on this runner.
class BatchPlanner {
 public:
  BatchPlanner(const LocalEngineOptions& options, const Runner& runner);

  /// An editor is active: a keystroke request has arrived.
  void keystroke_arrived(TimePoint now) { last_keystroke_ = now; }
  void step_took(Duration duration) { typical_step_ += (duration - typical_step_) / 8; }

  /// `running` have pending tokens. The result is valid until the next call.
  [[nodiscard]] std::span<const BatchEntry> plan(const Sequences& running, FairShares& shares,
                                                 TimePoint now);
  /// Of the plan that was made last.
  [[nodiscard]] const StepShape& shape() const { return shape_; }

 private:
  struct Ranked {
    std::tuple<Priority, bool, std::uint64_t, TimePoint, std::uint64_t> rank;
    Sequence* sequence = nullptr;
  };

  void rank(const Sequences& running, FairShares& shares, Priority urgent, TimePoint now);
  [[nodiscard]] Duration patience(Priority priority) const;
  [[nodiscard]] Duration target(bool relaxed) const;
  [[nodiscard]] int room_for(const Sequence& sequence, Priority urgent);
  void add(Sequence& sequence, int room);
  void note_classes_served(TimePoint now);

  const LocalEngineOptions options_;
  const Runner& runner_;
  std::optional<TimePoint> last_keystroke_;
  Duration typical_step_ = std::chrono::milliseconds(4);
  std::array<TimePoint, 3> last_served_{};  ///< by Priority: the latest step it was part of

  // Reused from step to step.
  std::vector<Ranked> ranked_;
  std::vector<BatchEntry> entries_;
  int tokens_ = 0;  ///< planned so far
  StepShape shape_;
};

}  // namespace caretd::engine
