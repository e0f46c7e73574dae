// The embedded model on the GPU against golden.json, along every path that fills the KV cache.
#include <cstdio>

#include "engine/text/tokenizer.h"
#include "engine/verify/golden_file.h"
#include "engine/verify/verify.h"
#include "tests/gpu/gpu_fixture.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {
constexpr const char* kModel = "models/tiny";

/// Every operand is rounded to BF16, which moves a log-likelihood by a hundredth or two.
VerifyBounds gpu_bounds() {
  VerifyBounds bounds = fast_bounds();
  bounds.mean_nll = 0.03;
  return bounds;
}

}  // namespace

TEST_CASE("the embedded model meets its golden cases on the GPU", "[golden]") {
  const auto runner = gpu_runner(open_checkpoint(kModel));
  const auto tokenizer = Tokenizer::load(kModel);
  REQUIRE(tokenizer);
  const auto golden = read_golden_file(std::string(kModel) + "/golden.json");
  REQUIRE(golden);
  for (std::size_t i = 0; i < golden->cases.size(); ++i) {
    const auto report =
        verify_case(*runner, **tokenizer, golden->cases[i], gpu_bounds(), static_cast<unsigned>(i));
    INFO((report ? std::string() : report.error().message));
    REQUIRE(report);
    INFO(report->name);
    std::printf("%-28s nll max %.4f mean %.4f, greedy %d of %d, paths %.4f\n", report->name.c_str(),
                report->max_nll, report->mean_nll, report->greedy_equal, report->greedy_compared,
                report->path);
    CHECK(report->misses == std::vector<std::string>{});
  }
}

TEST_CASE("the same tokens give the same bits twice", "[golden]") {
  const auto checkpoint = open_checkpoint(kModel);
  const auto runner = gpu_runner(checkpoint);
  const auto tokens = random_tokens(150, checkpoint->config().vocab_size, 3);
  const auto first = logits_of(*runner, tokens, {100, 1, 3, 20});
  for (int i = 0; i < 3; ++i) CHECK(logits_of(*runner, tokens, {100, 1, 3, 20}) == first);
}

TEST_CASE("a row's candidates are its largest logits", "[golden]") {
  const auto checkpoint = open_checkpoint(kModel);
  const auto runner = gpu_runner(checkpoint);
  PageAllocator allocator(runner->info().pages);
  SequenceDriver sequence(*runner, allocator);
  const auto tokens = random_tokens(20, checkpoint->config().vocab_size, 5);
  const auto rows = sequence.append(tokens, Output::logits, true);
  REQUIRE(rows);
  for (const OutputRow& row : *rows) {
    std::vector<int> order(row.logits.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
    std::ranges::stable_sort(order, [&](int a, int b) {
      return row.logits[static_cast<std::size_t>(a)] > row.logits[static_cast<std::size_t>(b)];
    });
    REQUIRE(row.candidates.size() == kCandidates);
    double sum = 0;
    for (const float logit : row.logits) sum += std::exp(static_cast<double>(logit));
    CHECK(row.log_sum_exp == Approx(std::log(sum)).margin(1e-4));
    for (std::size_t i = 0; i < row.candidates.size(); ++i) CHECK(row.candidates[i].id == order[i]);
  }
}
