// The CUDA kernels on an emulated device: what tests/gpu asks of a GPU, at sizes that a CPU can do.
#include <cstdlib>

#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/shapes.h"
#include "tests/gpu/gpu_fixture.h"
#include "tests/helpers/temporary_folder.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {

void give_multiprocessors(const char* count) {
  setenv("CARETD_EMULATED_MULTIPROCESSORS", count, 1);
}

double median_error(const std::vector<std::vector<float>>& found,
                    const std::vector<std::vector<float>>& expected) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    errors.push_back(relative_error(found[i], expected[i]));
  }
  std::ranges::sort(errors);
  return errors[errors.size() / 2];
}

/// The logits of `tokens`, which follow `before`, in pieces of the given size.
std::vector<std::vector<float>> logits_after(Runner& runner, std::span<const TokenId> before,
                                             std::span<const TokenId> tokens, std::size_t piece) {
  PageAllocator allocator(runner.info().pages);
  SequenceDriver sequence(runner, allocator);
  REQUIRE(sequence.append(before, Output::none, false));
  std::vector<std::vector<float>> logits;
  for (std::size_t at = 0; at < tokens.size(); at += piece) {
    const auto rows = sequence.append(tokens.subspan(at, piece), Output::logits, true);
    REQUIRE(rows);
    for (const OutputRow& row : *rows) logits.emplace_back(row.logits.begin(), row.logits.end());
  }
  return logits;
}

/// Two layers of the true widths, one of them with experts.
void compare_lite_steps(bool fp8) {
  give_multiprocessors("66");
  const auto config = shape_by_name("lite", 2);
  REQUIRE(config);
  const auto runner =
      make_random_cuda_runner({*config, fp8, 3}, {.kv_bytes = kKvBytes}, cuda_module());
  REQUIRE(runner);
  (*runner)->force_routing(5);
  const auto tokens = random_tokens(5, 100000, 11);
  const auto before = std::span(tokens).first(3);
  const auto last = std::span(tokens).last(2);
  const auto together = logits_after(**runner, before, last, 2);
  const auto single = logits_after(**runner, before, last, 1);
  for (std::size_t i = 0; i < together.size(); ++i) {
    CHECK(relative_error(single[i], together[i]) < 0.03);
  }
  // The same bits, however the warps of this run were scheduled.
  const bool same = logits_after(**runner, before, last, 1) == single;
  CHECK(same);
}

}  // namespace

TEST_CASE("steps and prefill of every kind agree with the CPU", "[emulated][steps]") {
  give_multiprocessors("4");
  const auto [shape, format] = GENERATE(table<const char*, WeightFormat>(
      {{"small-full", WeightFormat::bf16}, {"small", WeightFormat::fp8_block}}));
  CAPTURE(shape);
  const TemporaryFolder folder;
  const auto path = folder.path() / "model";
  const auto config = shape_by_name(shape);
  REQUIRE(config);
  REQUIRE(write_checkpoint(path, *config, {.seed = 11, .format = format, .threads = 2}));
  const auto checkpoint = open_checkpoint(path);
  const auto cpu = cpu_runner(checkpoint);
  const auto gpu = gpu_runner(checkpoint);
  // Single tokens, steps of one and of two column tiles, prefills, a step across two pages.
  const auto tokens = random_tokens(70, config->vocab_size, 1);
  const auto found = logits_of(*gpu, tokens, {1, 1, 3, 9, 20, 28, 8});
  CHECK(median_error(found, logits_of(*cpu, tokens, {70})) < 0.03);
}

TEST_CASE("a BF16 token at Lite's sizes answers as several together", "[emulated][steps][bf16]") {
  compare_lite_steps(false);
}

TEST_CASE("an FP8 token at Lite's sizes answers as several together", "[emulated][steps]") {
  compare_lite_steps(true);
}
