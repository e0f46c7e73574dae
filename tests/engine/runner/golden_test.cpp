// The embedded model on the CPU against golden.json, along every path that fills the KV cache.
#include <string>

#include "engine/checkpoint/checkpoint.h"
#include "engine/cpu_runner.h"
#include "engine/text/tokenizer.h"
#include "engine/verify/golden_file.h"
#include "engine/verify/verify.h"
#include "kernels/cpu/kernels.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;

namespace {

constexpr const char* kModel = "models/tiny";

std::unique_ptr<Runner> make_runner(const std::string& isa, int threads) {
  auto checkpoint = Checkpoint::open(kModel);
  REQUIRE(checkpoint);
  auto runner = make_cpu_runner(*checkpoint,
                                {.kv_bytes = 32 << 20, .threads = threads, .cpu_isa = isa}, {}, {});
  REQUIRE(runner);
  return std::move(*runner);
}

void verify(Runner& runner, size_t first_case, size_t cases) {
  const auto tokenizer = Tokenizer::load(kModel);
  REQUIRE(tokenizer);
  const auto golden = read_golden_file(std::string(kModel) + "/golden.json");
  REQUIRE(golden);
  REQUIRE(golden->cases.size() == 12);
  for (size_t i = first_case; i < first_case + cases; ++i) {
    const auto report = verify_case(runner, **tokenizer, golden->cases[i], precise_bounds(),
                                    static_cast<unsigned>(i));
    REQUIRE(report);
    INFO(report->name);
    CHECK(report->misses == std::vector<std::string>{});
    CHECK(report->greedy_compared > 0);
  }
}

}  // namespace

TEST_CASE("the embedded model meets its golden cases") {
  const auto runner = make_runner("", 2);
  verify(*runner, 0, 12);
}

TEST_CASE("every instruction set meets the golden cases") {
  for (const auto* kernels : caretd::kernels::cpu::available_kernels()) {
    INFO(kernels->id);
    const auto runner = make_runner(kernels->id, 1);
    verify(*runner, 0, 2);
  }
}
