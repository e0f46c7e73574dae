#include "engine/cpu/step_timing.h"

#include <chrono>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;        // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

namespace {

constexpr caretd::Duration kTarget = 10ms;

StepTiming tiny_model() {
  const auto config = read_model_config("models/tiny/config.json");
  REQUIRE(config);
  return StepTiming(*config);
}

/// Steps of as many tokens as are proposed, each of which takes `took` for eight of them.
void run_steps(StepTiming& timing, int steps, caretd::Duration took) {
  for (int i = 0; i < steps; ++i) {
    const std::vector<TokenId> ids(static_cast<std::size_t>(timing.tokens_within(kTarget, 0)));
    const std::vector<TokenRun> batch{{.tokens = ids}};
    timing.record(batch, took * static_cast<int>(ids.size()) / 8);
  }
}

}  // namespace

TEST_CASE("chunks shrink on a busy machine and grow again when it is idle") {
  StepTiming timing = tiny_model();
  run_steps(timing, 30, 1ms);
  const int idle = timing.tokens_within(kTarget, 0);
  run_steps(timing, 30, 400ms);
  const int busy = timing.tokens_within(kTarget, 0);
  CHECK(busy >= 8);
  CHECK(busy < idle);
  run_steps(timing, 60, 1ms);
  CHECK(timing.tokens_within(kTarget, 0) > idle * 9 / 10);
}

TEST_CASE("a longer context leaves time for fewer tokens, more time for more") {
  StepTiming timing = tiny_model();
  run_steps(timing, 30, 1ms);
  const int tokens = timing.tokens_within(kTarget, 0);
  CHECK(timing.tokens_within(kTarget, 1500) < tokens);
  CHECK(timing.tokens_within(2 * kTarget, 0) > tokens);
}
