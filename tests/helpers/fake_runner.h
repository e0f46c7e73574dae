// A Runner without a model: its logits are a hash of the whole token history as it is stored in
// the pages, so that any mistake in paging changes what is generated, and is reported as well.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/runner.h"
#include "support/clock.h"

namespace caretd::test {

struct FakeRunnerOptions {
  int pages = 64;
  int host_pages = 0;
  engine::TokenId vocab = 96;
  int max_batch_runs = 64;
  int max_batch_tokens = 8192;
  /// Moved by every forward(); null: no time passes.
  ManualClock* clock = nullptr;
  Duration step_cost = std::chrono::milliseconds(1);
  Duration token_cost = std::chrono::microseconds(100);
  Duration keystroke_step = std::chrono::milliseconds(40);  ///< RunnerInfo::keystroke_step
  /// Added to the logit of one token: makes it rare or certain.
  engine::TokenId biased = -1;
  float bias = 0.0F;
};

/// What a runner was asked to do. Shared between the runner, which the engine owns, and the test.
class FakeRunnerLog {
 public:
  struct Run {
    int position = 0;
    int tokens = 0;
    engine::Output output = engine::Output::none;
  };
  using Step = std::vector<Run>;

  [[nodiscard]] std::vector<Step> steps() const;
  /// Tokens run through the model so far.
  [[nodiscard]] int computed_tokens() const;
  [[nodiscard]] int page_copies() const;
  [[nodiscard]] int pages_read() const;
  [[nodiscard]] int pages_written() const;
  /// One sentence for every use of a page that the interface forbids. Must stay empty.
  [[nodiscard]] std::vector<std::string> violations() const;
  void forget_steps();

  /// Called before a step is computed; what it returns is what forward() answers.
  using Fault = std::function<std::optional<Error>(std::span<const engine::TokenRun>)>;
  void set_fault(Fault fault);

 private:
  friend class FakeRunner;

  mutable std::mutex mutex_;
  std::vector<Step> steps_;
  std::vector<std::string> violations_;
  int page_copies_ = 0;
  int pages_read_ = 0;
  int pages_written_ = 0;
  Fault fault_;
};

class FakeRunner final : public engine::Runner {
 public:
  FakeRunner(FakeRunnerOptions options, std::shared_ptr<FakeRunnerLog> log);

  [[nodiscard]] const engine::RunnerInfo& info() const override { return info_; }
  [[nodiscard]] Result<std::span<const engine::OutputRow>> forward(
      std::span<const engine::TokenRun> batch) override;
  [[nodiscard]] Result<void> copy_page(engine::PageId from, engine::PageId to, int tokens) override;
  [[nodiscard]] Result<void> read_page(engine::PageId page, std::span<std::byte> out) override;
  [[nodiscard]] Result<void> write_page(engine::PageId page,
                                        std::span<const std::byte> in) override;
  [[nodiscard]] int tokens_within(Duration duration, int position) const override;

  // The model as a pure function, for expected results.
  [[nodiscard]] static std::uint64_t history_hash(std::span<const engine::TokenId> history);
  [[nodiscard]] static float logit(const FakeRunnerOptions& options, std::uint64_t history,
                                   engine::TokenId id);
  [[nodiscard]] static engine::TokenId greedy(const FakeRunnerOptions& options,
                                              std::span<const engine::TokenId> history);
  /// `count` greedy tokens after `history`.
  [[nodiscard]] static std::vector<engine::TokenId> greedy_continuation(
      const FakeRunnerOptions& options, std::vector<engine::TokenId> history, int count);

 private:
  struct Row {
    engine::TokenId token = -1;
    std::uint64_t history = 0;  ///< hash of all tokens up to and including this one
  };
  struct Answer {
    std::vector<float> logits;
    std::vector<engine::Candidate> candidates;
  };

  [[nodiscard]] Row& row(const engine::TokenRun& run, int position);
  void check_sharing(std::span<const engine::TokenRun> batch);
  void compute(const engine::TokenRun& run);
  void answer(std::uint64_t history, engine::Output output);
  void complain(std::string sentence);

  const FakeRunnerOptions options_;
  const std::shared_ptr<FakeRunnerLog> log_;
  engine::RunnerInfo info_;
  std::vector<Row> rows_;  ///< [pages][kPageTokens]
  std::vector<std::unique_ptr<Answer>> answers_;
  std::vector<engine::OutputRow> output_;
};

}  // namespace caretd::test
