// The embedded model on the CPU against golden.json, along every path that fills the KV cache.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
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

void check_case(Runner& runner, const GoldenCase& golden,
                const VerifyBounds& bounds = precise_bounds()) {
  const auto tokenizer = Tokenizer::load(kEmbeddedModel);
  REQUIRE(tokenizer);
  const auto report = verify_case(runner, **tokenizer, golden, bounds, 1);
  REQUIRE(report);
  INFO(report->name);
  CHECK(report->misses == std::vector<std::string>{});
  CHECK(report->greedy_compared > 0);
}

constexpr std::array<PageId, 2> kGoldenPages{0, 1};

/// What the runner says behind every token of a sequence.
std::span<const OutputRow> all_rows(Runner& runner, const std::vector<TokenId>& ids,
                                    Output output) {
  const TokenRun run{.tokens = ids, .pages = kGoldenPages, .output = output, .every_row = true};
  const auto rows = runner.forward({&run, 1});
  REQUIRE(rows);
  REQUIRE(rows->size() == ids.size());
  return *rows;
}

/// Copies of rows, which outlive the next step.
struct ExactRows {
  std::vector<std::vector<float>> logits;
  std::vector<float> log_sum_exp;
};

ExactRows exact_rows(Runner& runner, const std::vector<TokenId>& ids) {
  ExactRows exact;
  for (const OutputRow& row : all_rows(runner, ids, Output::logits)) {
    exact.logits.emplace_back(row.logits.begin(), row.logits.end());
    exact.log_sum_exp.push_back(row.log_sum_exp);
  }
  return exact;
}

}  // namespace

TEST_CASE("the embedded model meets its golden cases") {
  const auto runner = caretd::test::make_runner(caretd::test::open_checkpoint(kEmbeddedModel));
  for (const GoldenCase& golden : golden_cases()) check_case(*runner, golden);
}

TEST_CASE("the fast path, which rounds keys, meets its bounds on the golden cases") {
  const auto runner = caretd::test::make_runner(caretd::test::open_checkpoint(kEmbeddedModel),
                                                {.kv_bytes = 32 << 20, .threads = 2});
  for (const GoldenCase& golden : golden_cases()) check_case(*runner, golden, fast_bounds());
}

TEST_CASE("candidates found with the rounded head have the logits of the exact one") {
  const auto runner = caretd::test::make_runner(caretd::test::open_checkpoint(kEmbeddedModel),
                                                {.kv_bytes = 32 << 20, .threads = 2});
  double log_sum_error = 0;
  int rows = 0;
  for (const GoldenCase& golden : golden_cases()) {
    if (golden.input_ids.size() > kPageTokens * kGoldenPages.size()) continue;
    INFO(golden.name);
    const ExactRows exact = exact_rows(*runner, golden.input_ids);
    const auto found = all_rows(*runner, golden.input_ids, Output::candidates);
    for (std::size_t row = 0; row < found.size(); ++row, ++rows) {
      const std::vector<float>& logits = exact.logits[row];
      const Candidate& best = found[row].candidates.front();
      REQUIRE(best.logit == Approx(*std::ranges::max_element(logits)).margin(1e-4));
      for (std::size_t i = 0; i < found[row].candidates.size(); ++i) {
        const Candidate& candidate = found[row].candidates[i];
        const float off = candidate.logit - logits[static_cast<std::size_t>(candidate.id)];
        const bool near = i < 8 && candidate.logit > best.logit - 2.5F;
        REQUIRE(std::abs(off) < (near ? 1e-4F : 0.3F));
      }
      const float error = std::abs(found[row].log_sum_exp - exact.log_sum_exp[row]);
      CHECK(error < 0.05F);
      log_sum_error += static_cast<double>(error);
    }
  }
  CHECK(log_sum_error / rows < 5e-3);
}

TEST_CASE("every instruction set meets the first golden case on one thread") {
  for (const auto* kernels : caretd::kernels::cpu::available_kernels()) {
    INFO(kernels->id);
    const auto runner = caretd::test::make_runner(
        caretd::test::open_checkpoint(kEmbeddedModel),
        {.kv_bytes = 32 << 20, .threads = 1, .precise = true, .cpu_isa = kernels->id});
    check_case(*runner, golden_cases().front());
  }
}
