#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace caretd::engine {
namespace {

/// A chunk that does not fit into the device's memory is halved down to this many tokens.
constexpr int kSmallestChunk = 16;

int rows_of(const TokenRun& run) {
  if (run.output == Output::none) return 0;
  return run.every_row ? static_cast<int>(run.tokens.size()) : 1;
}

}  // namespace

void refuse(const Submission& submission, const Ending& ending, TimePoint now) {
  Generation generation;
  generation.reason = ending.reason;
  generation.error = ending.error;
  generation.usage.queued = now - submission.submitted;
  submission.sink->on_finish(generation);
}

Scheduler::Scheduler(Runner& runner, std::shared_ptr<const Tokenizer> tokenizer, int context_tokens,
                     const LocalEngineOptions& options, const Clock& clock)
    : runner_(runner),
      tokenizer_(std::move(tokenizer)),
      model_context_(context_tokens),
      context_tokens_(usable_context(runner.info(), context_tokens)),
      options_(options),
      clock_(clock),
      cache_(runner),
      planner_(options, runner) {}

Scheduler::~Scheduler() {
  assert(idle());
}

int Scheduler::usable_context(const RunnerInfo& info, int context_tokens) {
  return static_cast<int>(
      std::min<std::int64_t>(context_tokens, std::int64_t{info.pages} * kPageTokens));
}

void Scheduler::submit(Submission submission, std::vector<TokenId> prompt) {
  const TimePoint now = clock_.now();
  if (const auto ending = reason_to_refuse(prompt)) return refuse(submission, *ending, now);
  if (submission.request.priority == Priority::keystroke) planner_.keystroke_arrived(now);
  auto sequence = std::make_unique<Sequence>(next_id_++, std::move(submission.request),
                                             std::move(prompt), std::move(submission.sink),
                                             tokenizer_, context_tokens_, submission.submitted);
  // Those that the next step admits do not count as waiting.
  const int slots = std::max(0, options_.max_running - static_cast<int>(running_.size()));
  const auto refused = waiting_.push(std::move(sequence), options_.max_queued + slots);
  if (refused == nullptr) return;
  conclude(*refused, failure(ErrorKind::unavailable,
                             "The engine is busy: " + std::to_string(options_.max_queued) +
                                 " requests are waiting already; try again in a moment."));
}

std::optional<Ending> Scheduler::reason_to_refuse(std::span<const TokenId> prompt) const {
  if (prompt.empty()) {
    return failure(ErrorKind::invalid_input, "The prompt is empty; give it at least one token.");
  }
  const TokenId ids = tokenizer_->size();
  const auto unknown =
      std::ranges::find_if(prompt, [ids](TokenId id) { return id < 0 || id >= ids; });
  if (unknown != prompt.end()) {
    return failure(ErrorKind::invalid_input, "Token id " + std::to_string(*unknown) +
                                                 " of the prompt does not exist; the model has " +
                                                 std::to_string(ids) + " tokens.");
  }
  if (std::cmp_less_equal(prompt.size(), context_tokens_)) return std::nullopt;
  const std::string size = "The prompt has " + std::to_string(prompt.size()) + " tokens; ";
  if (std::cmp_greater(prompt.size(), model_context_)) {
    return failure(ErrorKind::invalid_input,
                   size + "the model's context ends at " + std::to_string(model_context_) + ".");
  }
  return failure(ErrorKind::out_of_memory, size + "the KV cache has room for " +
                                               std::to_string(context_tokens_) +
                                               "; raise its budget or shorten the prompt.");
}

Result<bool> Scheduler::step() {
  const TimePoint now = clock_.now();
  for (const auto& sequence : running_) sequence->scheduling.has_pages = false;
  end_those_over(now);
  release_followers(waiting_.sequences(), running_);
  if (auto admitted = admit(); !admitted) return pass_on(std::move(admitted));
  remove_ended();
  inherit_priorities(waiting_.sequences(), running_);
  reserve_pages(planner_.plan(running_, shares_, now));
  if (batch_.empty()) {
    remove_ended();
    forward_ended_.reset();
    return !idle();
  }
  for (const BatchEntry& entry : batch_) {
    entry.sequence->started(now);
    shares_.of(*entry.sequence).charge(entry.sequence->request().session, entry.count);
  }
  shares_.end_step();
  auto computed = compute(batch_);
  remove_ended();
  if (idle()) forward_ended_.reset();  // what passes until the next request is nobody's cost
  ++totals_.steps;
  const Duration took = clock_.now() - now;
  totals_.longest_step = std::max(totals_.longest_step, took);
  if (planner_.shape().editor_active && took > longest_while_typing_.took) {
    longest_while_typing_ = {took, planner_.shape()};
  }
  planner_.step_took(took);
  if (!computed) return pass_on(std::move(computed));
  return true;
}

void Scheduler::finish_all(const Ending& ending) {
  remove_ended();
  for (const auto& sequence : running_) conclude(*sequence, ending);
  for (const auto& sequence : waiting_.sequences()) conclude(*sequence, ending);
  running_.clear();
  waiting_.sequences().clear();
}

bool Scheduler::busy() const {
  const auto urgent = [](const auto& sequence) {
    return sequence->request().priority != Priority::background;
  };
  return std::ranges::any_of(running_, urgent) || std::ranges::any_of(waiting_.sequences(), urgent);
}

EngineStatistics Scheduler::statistics() const {
  EngineStatistics statistics = totals_;
  statistics.running = static_cast<int>(running_.size());
  statistics.queued = waiting_.size();
  statistics.kv_used_bytes = cache_.used_pages() * runner_.info().page_bytes;
  statistics.kv_pinned_bytes = cache_.pinned_pages() * runner_.info().page_bytes;
  return statistics;
}

// ---- the end of a sequence ------------------------------------------------------------------

/// Closes its pages and tells its sink.
void Scheduler::conclude(Sequence& sequence, const Ending& ending) {
  cache_.close(sequence.table);
  const Usage usage = sequence.finish(ending, clock_.now());
  totals_.prompt_tokens += usage.prompt_tokens;
  totals_.cached_tokens += usage.cached_tokens;
  totals_.generated_tokens += usage.generated_tokens;
}

/// The same for one that runs or waits: remove_ended() has to follow.
void Scheduler::end(Sequence& sequence, const Ending& ending) {
  conclude(sequence, ending);
  ended_.push_back(&sequence);
}

void Scheduler::end_those_over(TimePoint now) {
  const auto end_over = [&](const Sequences& sequences) {
    for (const auto& sequence : sequences) {
      if (const auto ending = sequence->over(now)) end(*sequence, *ending);
    }
  };
  end_over(running_);
  end_over(waiting_.sequences());
  remove_ended();
}

void Scheduler::remove_ended() {
  if (ended_.empty()) return;
  const auto has_ended = [this](const auto& sequence) {
    return std::ranges::find(ended_, sequence.get()) != ended_.end();
  };
  std::erase_if(running_, has_ended);
  std::erase_if(waiting_.sequences(), has_ended);
  ended_.clear();
}

// ---- admission ------------------------------------------------------------------------------

Result<void> Scheduler::admit() {
  while (waiting_.size() > 0) {
    const bool has_slot = std::cmp_less(running_.size(), options_.max_running);
    Sequence* const other = least_important();
    if (!has_slot && !waiting_.has_more_urgent(other->request().priority)) break;
    Sequence* const next = waiting_.next(shares_);
    if (next == nullptr) break;
    if (has_slot && find_leader(*next, running_, cache_)) continue;
    if (has_slot && has_room(*next)) {
      if (auto started = start(waiting_.take(*next)); !started) return started;
      continue;
    }
    if (other == nullptr || other->request().priority <= next->request().priority) break;
    suspend(*other);
  }
  return {};
}

bool Scheduler::has_room(const Sequence& sequence) const {
  // A page more, so that what runs already is not suspended again by its next token.
  const int spare = running_.empty() ? 0 : 1;
  const int length = static_cast<int>(sequence.tokens().size());
  return cache_.pages_to_run(sequence.reusable(), length) + spare <= cache_.available_pages();
}

Result<void> Scheduler::start(std::unique_ptr<Sequence> owned) {
  Sequence& sequence = *owned;
  sequence.scheduling.running = true;
  running_.push_back(std::move(owned));
  auto opened = cache_.open(sequence.table, sequence.reusable(), sequence.request().owner);
  if (!opened) {
    if (opened.error().kind == ErrorKind::device_fault) return opened;
    end(sequence, {FinishReason::failed, opened.error()});
  } else if (const auto ending = sequence.admitted()) {
    end(sequence, *ending);
  }
  return {};
}

/// Gives up its place and its pages; what it computed stays in the cache for when it comes back.
void Scheduler::suspend(Sequence& sequence) {
  cache_.close(sequence.table);
  sequence.scheduling.running = false;
  const auto at = std::ranges::find(running_, &sequence, &std::unique_ptr<Sequence>::get);
  waiting_.put_back(std::move(*at));
  running_.erase(at);
}

/// The running sequence to suspend first: of the least urgent class the last to arrive.
Sequence* Scheduler::least_important() const {
  Sequence* found = nullptr;
  const auto rank = [](const Sequence& s) { return std::pair(s.scheduling.effective, s.id()); };
  for (const auto& sequence : running_) {
    if (sequence->scheduling.has_pages) continue;
    if (found == nullptr || rank(*sequence) > rank(*found)) found = sequence.get();
  }
  return found;
}

// ---- one step -------------------------------------------------------------------------------

/// Fills batch_ with the planned entries that get the pages they need.
void Scheduler::reserve_pages(std::span<const BatchEntry> plan) {
  batch_.clear();
  for (const BatchEntry& entry : plan) {
    // One entry's pages may have cost another its place.
    if (entry.sequence->scheduling.running && reserve_for(entry)) batch_.push_back(entry);
  }
}

bool Scheduler::reserve_for(const BatchEntry& entry) {
  Sequence& sequence = *entry.sequence;
  while (!cache_.reserve(sequence.table, entry.count)) {
    Sequence* const other = least_important();
    const bool alone = running_.size() == 1;
    if (alone) {
      end(sequence, failure(ErrorKind::out_of_memory,
                            "The KV cache has no room for the next tokens of this request; raise "
                            "its budget or shorten the prompt."));
      return false;
    }
    suspend(*other);
    if (other == &sequence) return false;
  }
  sequence.scheduling.has_pages = true;
  return true;
}

/// Runs the batch. A failure other than a device fault is the failure of single requests.
Result<void> Scheduler::compute(std::span<BatchEntry> batch) {
  runs_.clear();
  for (const BatchEntry& entry : batch) runs_.push_back(entry.sequence->run(entry.count));
  measure_host_time(clock_.now());
  const auto rows = runner_.forward(runs_);
  forward_ended_ = clock_.now();
  if (rows) {
    deliver(batch, *rows);
    return {};
  }
  if (rows.error().kind == ErrorKind::device_fault) return tl::unexpected(rows.error());
  return compute_apart(batch, rows.error());
}

/// After a failure: finds out which request it concerns by running each alone, a long chunk in
/// halves.
Result<void> Scheduler::compute_apart(std::span<BatchEntry> batch, const Error& error) {
  if (batch.size() > 1) {
    for (size_t i = 0; i < batch.size(); ++i) {
      if (auto computed = compute(batch.subspan(i, 1)); !computed) return computed;
    }
    return {};
  }
  BatchEntry& entry = batch.front();
  if (error.kind != ErrorKind::out_of_memory || entry.count <= kSmallestChunk) {
    end(*entry.sequence, {FinishReason::failed, error});
    return {};
  }
  entry.count /= 2;
  return compute(batch);
}

void Scheduler::deliver(std::span<const BatchEntry> batch, std::span<const OutputRow> rows) {
  const TimePoint now = *forward_ended_;
  for (size_t i = 0; i < batch.size(); ++i) {
    Sequence& sequence = *batch[i].sequence;
    const auto count = static_cast<size_t>(rows_of(runs_[i]));
    const auto [computed, ending] = sequence.take_rows(rows.first(count), batch[i].count, now);
    rows = rows.subspan(count);
    const auto pending = sequence.tokens().subspan(static_cast<size_t>(sequence.table.tokens()));
    cache_.commit(sequence.table, pending.first(static_cast<size_t>(computed)));
    if (ending) end(sequence, *ending);
  }
}

void Scheduler::measure_host_time(TimePoint forward_begins) {
  if (forward_ended_) totals_.host_time += forward_begins - *forward_ended_;
}

}  // namespace caretd::engine
