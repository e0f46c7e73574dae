// Continuous batching: which requests run, one step at a time.
//
// Not thread-safe; everything happens on the thread that owns the runner. Sinks are called inside
// step(), submit() and finish_all() and must not call back into the scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/engine.h"
#include "engine/local_engine.h"
#include "engine/runner.h"
#include "engine/scheduler/batch_planner.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/waiting_queue.h"
#include "support/clock.h"
#include "support/result.h"

namespace caretd::engine {

/// A request on its way from submit() to the scheduler.
struct Submission {
  GenerationRequest request;
  std::shared_ptr<TokenSink> sink;
  TimePoint submitted;
};

/// Ends a request that never became a sequence.
void refuse(const Submission& submission, const Ending& ending, TimePoint now);

struct TimedStep {
  Duration took{};
  StepShape shape;
};

class Scheduler {
 public:
  /// The runner and the clock must outlive the scheduler.
  Scheduler(Runner& runner, std::shared_ptr<const Tokenizer> tokenizer, int context_tokens,
            const LocalEngineOptions& options, const Clock& clock);
  /// Every request must be over: see finish_all().
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Queues a request whose prompt is `prompt`, or ends it at once where it cannot be served.
  void submit(Submission submission, std::vector<TokenId> prompt);

  /// One step of the runner for those whose turn it is. False when there is nothing to do. An
  /// Error means that the runner is unusable; the requests are still there to be finished.
  [[nodiscard]] Result<bool> step();

  /// Ends every request.
  void finish_all(const Ending& ending);

  void release(CacheOwner owner) { cache_.release(owner); }
  void clear_cache() { cache_.clear(); }

  [[nodiscard]] bool idle() const { return running_.empty() && waiting_.size() == 0; }
  /// A keystroke or chat request is there.
  [[nodiscard]] bool busy() const;

  /// The longest step so far during which an editor was active.
  [[nodiscard]] const TimedStep& longest_while_typing() const { return longest_while_typing_; }

  /// All but `requests`, which whoever submits counts.
  [[nodiscard]] EngineStatistics statistics() const;

  /// The longest prompt and output that both the model and the cache have room for.
  [[nodiscard]] static int usable_context(const RunnerInfo& info, int context_tokens);

 private:
  [[nodiscard]] std::optional<Ending> reason_to_refuse(std::span<const TokenId> prompt) const;
  void conclude(Sequence& sequence, const Ending& ending);
  void end(Sequence& sequence, const Ending& ending);
  void end_those_over(TimePoint now);
  void remove_ended();

  [[nodiscard]] Result<void> admit();
  [[nodiscard]] bool has_room(const Sequence& sequence) const;
  [[nodiscard]] Result<void> start(std::unique_ptr<Sequence> sequence);
  void suspend(Sequence& sequence);
  [[nodiscard]] Sequence* least_important() const;

  void reserve_pages(std::span<const BatchEntry> plan);
  [[nodiscard]] bool reserve_for(const BatchEntry& entry);

  [[nodiscard]] Result<void> compute(std::span<BatchEntry> batch);
  [[nodiscard]] Result<void> compute_apart(std::span<BatchEntry> batch, const Error& error);
  void deliver(std::span<const BatchEntry> batch, std::span<const OutputRow> rows);
  void measure_host_time(TimePoint forward_begins);

  Runner& runner_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int model_context_;
  const int context_tokens_;
  const LocalEngineOptions options_;
  const Clock& clock_;

  KvCache cache_;
  FairShares shares_;
  BatchPlanner planner_;
  WaitingQueue waiting_;
  Sequences running_;
  std::uint64_t next_id_ = 1;

  // Reused from step to step.
  std::vector<BatchEntry> batch_;
  std::vector<TokenRun> runs_;
  std::vector<Sequence*> ended_;

  EngineStatistics totals_;
  TimedStep longest_while_typing_;
  std::optional<TimePoint> forward_ended_;  ///< of the step before, if there was work ever since
};

}  // namespace caretd::engine
