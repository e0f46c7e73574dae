// The embedded model on the CPU against golden.json, along every path that fills the KV cache.
#include <string>
#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/verify/golden_file.h"
#include "engine/verify/verify.h"
#include "kernels/cpu/kernels.h"
#include "tests/engine/runner/model_on_cpu.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using caretd::test::kEmbeddedModel;

namespace {

std::vector<GoldenCase> golden_cases() {
  auto golden = read_golden_file(std::string(kEmbeddedModel) + "/golden.json");
  REQUIRE(golden);
  REQUIRE(golden->cases.size() == 12);
  return golden->cases;
}

void check_case(Runner& runner, const GoldenCase& golden) {
  const auto tokenizer = Tokenizer::load(kEmbeddedModel);
  REQUIRE(tokenizer);
  const auto report = verify_case(runner, **tokenizer, golden, precise_bounds(), 1);
  REQUIRE(report);
  INFO(report->name);
  CHECK(report->misses == std::vector<std::string>{});
  CHECK(report->greedy_compared > 0);
}

}  // namespace

TEST_CASE("the embedded model meets its golden cases") {
  const auto runner = caretd::test::make_runner(caretd::test::open_checkpoint(kEmbeddedModel));
  for (const GoldenCase& golden : golden_cases()) check_case(*runner, golden);
}

TEST_CASE("every instruction set meets the first golden case on one thread") {
  for (const auto* kernels : caretd::kernels::cpu::available_kernels()) {
    INFO(kernels->id);
    const auto runner =
        caretd::test::make_runner(caretd::test::open_checkpoint(kEmbeddedModel),
                                  {.kv_bytes = 32 << 20, .threads = 1, .cpu_isa = kernels->id});
    check_case(*runner, golden_cases().front());
  }
}
