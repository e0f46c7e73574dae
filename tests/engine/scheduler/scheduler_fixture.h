// A scheduler over the fake runner and a clock that only the runner moves: every test decides
// when a step happens.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "engine/text/tokenizer.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/fake_runner.h"

namespace caretd::test {

/// The embedded model's tokenizer, loaded once.
[[nodiscard]] std::shared_ptr<const engine::Tokenizer> tiny_tokenizer();

/// Keeps everything it hears. Not thread-safe.
struct RecordingSink final : engine::TokenSink {
  struct Token {
    engine::TokenId id = 0;
    float logprob = 0.0F;
    float margin = 0.0F;
    std::string text;
    std::vector<engine::TokenLogprob> top;
  };

  engine::Verdict on_token(const engine::TokenEvent& token) override;
  void on_finish(const engine::Generation& generation) override;

  [[nodiscard]] bool finished() const { return endings == 1; }
  [[nodiscard]] std::string streamed() const;

  std::function<engine::Verdict(const engine::TokenEvent&)> verdict;
  std::vector<Token> tokens;
  engine::Generation end;
  int endings = 0;
};

struct SchedulerFixture {
  explicit SchedulerFixture(FakeRunnerOptions options = {},
                            engine::LocalEngineOptions engine_options = {},
                            int context_tokens = 2048);
  ~SchedulerFixture();

  std::shared_ptr<RecordingSink> submit(std::vector<engine::TokenId> prompt,
                                        engine::GenerationRequest request = {});
  /// One step; fails the test on a device fault.
  bool step();
  void step(int times);
  /// Steps until all is done; fails the test after `limit` steps.
  void drain(int limit = 5000);
  /// Submits, drains and returns the result.
  engine::Generation generate(std::vector<engine::TokenId> prompt,
                              engine::GenerationRequest request = {});
  [[nodiscard]] std::vector<engine::TokenId> expected(std::vector<engine::TokenId> prompt,
                                                      int count) const;
  [[nodiscard]] engine::EngineStatistics statistics() const;

  ManualClock clock;
  FakeRunnerOptions runner_options;
  std::shared_ptr<FakeRunnerLog> log = std::make_shared<FakeRunnerLog>();
  FakeRunner runner;
  engine::Scheduler scheduler;
};

/// `count` token ids that depend on `seed` at every position.
[[nodiscard]] std::vector<engine::TokenId> prompt_of(int count, int seed);
[[nodiscard]] std::vector<engine::TokenId> concat(std::vector<engine::TokenId> a,
                                                  const std::vector<engine::TokenId>& b);

}  // namespace caretd::test
