#include "engine/bench/bench.h"

#include <cstdint>

#include "tests/engine/runner/model_on_cpu.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;

TEST_CASE("a bench fills every figure that fits into the pages") {
  const auto runner =
      caretd::test::make_runner(caretd::test::random_checkpoint("small", WeightFormat::bf16),
                                {.kv_bytes = 4 << 20, .threads = 2});
  BenchPlan plan{.prompt_tokens = 600,  // more than one step takes
                 .contexts = {64, 1'000'000},
                 .decode_tokens = 2,
                 .cached_tokens = 100,
                 .sequences = 2,
                 .sequence_context = 70,
                 .repeats = 1};
  const caretd::SteadyClock clock;
  const auto report = run_bench(*runner, plan, 1000, clock);
  REQUIRE(report);
  CHECK(report->prompt_tokens_per_second > 0);
  REQUIRE(report->decode.size() == 1);
  CHECK(report->decode[0].context == 64);
  CHECK(report->decode[0].bytes_per_token ==
        runner->info().weight_bytes_per_token + runner->info().page_bytes);
  CHECK(report->keystroke > caretd::Duration{});
  CHECK(report->together_tokens_per_second > 0);

  plan.prompt_tokens = plan.cached_tokens = plan.sequence_context = 1'000'000;
  const auto empty = run_bench(*runner, plan, 1000, clock);
  REQUIRE(empty);
  CHECK(empty->prompt_tokens_per_second == 0);
  CHECK(empty->keystroke == caretd::Duration{});
  CHECK(empty->together_tokens_per_second == 0);
}
