#include "engine/scheduler/batch_planner.h"

#include <algorithm>
#include <chrono>

namespace caretd::engine {
namespace {

using std::chrono::milliseconds;

/// Somebody who has not typed for so long will not notice one longer step.
constexpr Duration kEditorIdleAfter = milliseconds(3000);

constexpr Duration kShortestWait = milliseconds(10);
constexpr Duration kLongestWait = milliseconds(50);

}  // namespace

BatchPlanner::BatchPlanner(const LocalEngineOptions& options, const Runner& runner)
    : options_(options), runner_(runner) {}

std::span<const BatchEntry> BatchPlanner::plan(const Sequences& running, FairShares& shares,
                                               TimePoint now) {
  entries_.clear();
  ranked_.clear();
  tokens_ = 0;
  shape_ = {};
  if (running.empty()) return entries_;
  const auto most_urgent = [](const auto& sequence) { return sequence->scheduling.effective; };
  const Priority urgent = most_urgent(*std::ranges::min_element(running, {}, most_urgent));
  if (urgent == Priority::keystroke) keystroke_arrived(now);
  shape_.serves_keystroke = urgent == Priority::keystroke;
  shape_.editor_active = last_keystroke_ && now - *last_keystroke_ < kEditorIdleAfter;

  rank(running, shares, urgent, now);
  const int most_tokens = runner_.info().max_batch_tokens;
  const auto most_runs = static_cast<size_t>(runner_.info().max_batch_runs);
  for (const Ranked& ranked : ranked_) {
    if (entries_.size() == most_runs || tokens_ == most_tokens) break;
    const int room = room_for(*ranked.sequence, urgent);
    if (room > 0) add(*ranked.sequence, std::min(room, most_tokens - tokens_));
  }
  note_classes_served(now);
  return entries_;
}

/// How long a class that is not the most urgent one waits for a step that takes it along. A
/// completion of some ten steps is then delayed by one longer step at most.
Duration BatchPlanner::patience(Priority priority) const {
  const auto chat = std::clamp<Duration>(12 * typical_step_, kShortestWait, kLongestWait);
  return priority == Priority::background ? 4 * chat : chat;
}

void BatchPlanner::note_classes_served(TimePoint now) {
  for (const BatchEntry& entry : entries_) {
    last_served_[static_cast<size_t>(entry.sequence->request().priority)] = now;
  }
}

/// Lists who may take part, most entitled first.
void BatchPlanner::rank(const Sequences& running, FairShares& shares, Priority urgent,
                        TimePoint now) {
  for (const auto& sequence : running) {
    const SchedulingState& state = sequence->scheduling;
    const Duration wait = patience(sequence->request().priority);
    const TimePoint class_served = last_served_[static_cast<size_t>(sequence->request().priority)];
    const bool due = now - state.last_served >= wait && now - class_served >= wait;
    if (state.effective != urgent && !due) continue;
    ranked_.push_back({{state.effective, !sequence->decoding(), shares.tag(*sequence),
                        state.last_served, sequence->id()},
                       sequence.get()});
  }
  std::ranges::sort(ranked_, {}, &Ranked::rank);
}

/// How long the step may take. `relaxed`: nobody but those it serves waits for its end, so far.
Duration BatchPlanner::target(bool relaxed) const {
  if (!relaxed) return options_.background_step;
  if (!shape_.editor_active) return options_.keystroke_step;
  return std::min(options_.keystroke_step, runner_.info().keystroke_step);
}

/// How many tokens of the sequence the step still has time for.
int BatchPlanner::room_for(const Sequence& sequence, Priority urgent) {
  const bool served_first = sequence.scheduling.effective == urgent;
  const bool relaxed = served_first && (urgent == Priority::keystroke || !shape_.editor_active);
  // Decoding is not cut where nobody waits for the step to end.
  if (relaxed && sequence.decoding()) return 1;
  shape_.target = target(relaxed);
  const int budget = std::max(1, runner_.tokens_within(shape_.target, sequence.table.tokens()));
  // Many decoding sequences must not keep a new one out.
  const int guaranteed = shape_.prompts == 0 ? std::max(1, budget / 4) : 0;
  if (sequence.decoding()) return budget - tokens_;
  return std::max(budget - tokens_, guaranteed);
}

void BatchPlanner::add(Sequence& sequence, int room) {
  int count = std::min(sequence.largest_chunk(), room);
  const SchedulingState& state = sequence.scheduling;
  if (state.effective < sequence.request().priority) {
    // On a borrowed priority it computes what is waited for and no more.
    count = std::min(count, std::max(1, state.wanted_tokens - sequence.table.tokens()));
  }
  entries_.push_back({&sequence, count});
  tokens_ += count;
  if (sequence.decoding()) {
    ++shape_.decoding;
    return;
  }
  if (shape_.prompts++ == 0) shape_.position = sequence.table.tokens();
  shape_.prompt_tokens += count;
}

}  // namespace caretd::engine
