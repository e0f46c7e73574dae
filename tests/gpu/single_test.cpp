// Steps of one token at the sizes of Lite have a kernel of their own; it is held against the one
// for several tokens.
#include <algorithm>

#include "engine/checkpoint/shapes.h"
#include "tests/gpu/gpu_fixture.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {

constexpr int kLayers = 4;
constexpr int kLast = 8;  ///< tokens that are computed one by one, and together

std::unique_ptr<CudaRunner> random_lite(bool fp8) {
  const auto config = shape_by_name("lite", kLayers);
  REQUIRE(config);
  auto runner = make_random_cuda_runner({*config, fp8, 3}, {.kv_bytes = kKvBytes}, {});
  INFO((runner ? std::string() : runner.error().message));
  REQUIRE(runner);
  return std::move(*runner);
}

using Logits = std::vector<std::vector<float>>;

/// The logits of the last tokens, in pieces of `piece` behind all tokens before them.
Logits last_logits(Runner& runner, std::span<const TokenId> tokens, int piece) {
  PageAllocator allocator(runner.info().pages);
  SequenceDriver sequence(runner, allocator);
  REQUIRE(sequence.append(tokens.first(tokens.size() - kLast), Output::none, false));
  Logits logits;
  for (std::size_t at = tokens.size() - kLast; at < tokens.size();
       at += static_cast<std::size_t>(piece)) {
    const auto rows =
        sequence.append(tokens.subspan(at, static_cast<std::size_t>(piece)), Output::logits, true);
    INFO((rows ? std::string() : rows.error().message));
    REQUIRE(rows);
    for (const auto& row : *rows) logits.emplace_back(row.logits.begin(), row.logits.end());
  }
  return logits;
}

double largest_error(const Logits& a, const Logits& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double error = relative_error(a[i], b[i]);
    CHECK(std::isfinite(error));
    largest = std::max(largest, error);
  }
  return largest;
}

}  // namespace

TEST_CASE("one token at a time answers as several together, and twice the same", "[single]") {
  const bool fp8 = GENERATE(false, true);
  const auto runner = random_lite(fp8);
  // Where two experts are nearly equal, rounding chooses: with chosen ones every token has to
  // agree.
  runner->force_routing(5);
  // One attention tile; more splits than are read together; splits merged by themselves.
  for (const int count : {40, 2150, 5000}) {
    const auto tokens = random_tokens(count, 100000, 11);
    const Logits single = last_logits(*runner, tokens, 1);
    const double error = largest_error(single, last_logits(*runner, tokens, kLast));
    WARN((fp8 ? "FP8, " : "BF16, ") << count << " tokens: largest error " << error);
    CHECK(error < 0.03);
    CHECK(single == last_logits(*runner, tokens, 1));
  }
  // The router's own choice: a wrong one would move most tokens.
  runner->force_routing(0);
  const auto tokens = random_tokens(300, 100000, 12);
  const Logits single = last_logits(*runner, tokens, 1);
  const Logits together = last_logits(*runner, tokens, kLast);
  int near = 0;
  for (std::size_t i = 0; i < single.size(); ++i) {
    if (relative_error(single[i], together[i]) < 0.1) ++near;
  }
  CHECK(near > kLast / 2);
}
