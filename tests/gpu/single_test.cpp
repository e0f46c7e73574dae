// Steps of one token at the sizes of Lite have a kernel of their own; it is held against the one
// for several tokens.
#include <algorithm>
#include <sstream>

#include "engine/checkpoint/shapes.h"
#include "tests/gpu/gpu_fixture.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {

constexpr int kLayers = 4;
constexpr int kRepeats = 30;  ///< of what has to give the same bits
constexpr int kLast = 8;      ///< tokens that are computed one by one, and together

std::unique_ptr<CudaRunner> random_lite(bool fp8) {
  const auto config = shape_by_name("lite", kLayers);
  REQUIRE(config);
  auto runner = make_random_cuda_runner({*config, fp8, 3}, {.kv_bytes = kKvBytes}, cuda_module());
  INFO((runner ? std::string() : runner.error().message));
  REQUIRE(runner);
  return std::move(*runner);
}

using Logits = std::vector<std::vector<float>>;

/// The logits of the last tokens, in pieces of `piece` behind all tokens before them.
Logits last_logits(Runner& runner, std::span<const TokenId> tokens, int piece, int last = kLast) {
  const std::size_t before = tokens.size() - static_cast<std::size_t>(last);
  PageAllocator allocator(runner.info().pages);
  SequenceDriver sequence(runner, allocator);
  REQUIRE(sequence.append(tokens.first(before), Output::none, false));
  Logits logits;
  for (std::size_t at = before; at < tokens.size(); at += static_cast<std::size_t>(piece)) {
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

/// How often the same tokens give other bits than at first: values that blocks hand to one another
/// in the wrong order show in some runs only.
int other_results(Runner& runner, std::span<const TokenId> tokens, int piece, int last,
                  const Logits& first) {
  int others = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const Logits again = last_logits(runner, tokens, piece, last);
    if (again == first) continue;
    ++others;
    std::ostringstream rows;
    for (std::size_t r = 0; r < first.size(); ++r) {
      if (again[r] != first[r]) rows << ' ' << r << ": " << relative_error(again[r], first[r]);
    }
    WARN("run " << i << " differs in these rows by these relative errors:" << rows.str());
  }
  return others;
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
    CHECK(other_results(*runner, tokens, 1, kLast, single) == 0);
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

TEST_CASE("steps of several tokens give the same bits every time", "[single][repeat]") {
  const bool fp8 = GENERATE(false, true);
  const auto runner = random_lite(fp8);
  runner->force_routing(5);
  // Behind a prefix that is prefilled, and behind one that is a step itself.
  for (const int prefix : {33, 8, 700}) {
    for (const int piece : {1, 2, 8, 9, 16, 17, 32}) {
      const auto tokens = random_tokens(prefix + piece, 100000, 13);
      CAPTURE(fp8, prefix, piece);
      const Logits first = last_logits(*runner, tokens, piece, piece);
      CHECK(other_results(*runner, tokens, piece, piece, first) == 0);
    }
  }
}
