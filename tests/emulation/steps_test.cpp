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

/// Two layers of the true widths, one of them with experts.
void compare_lite_steps(bool fp8) {
  give_multiprocessors("66");
  const auto config = shape_by_name("lite", 2);
  REQUIRE(config);
  const auto runner =
      make_random_cuda_runner({*config, fp8, 3}, {.kv_bytes = kKvBytes}, cuda_module());
  REQUIRE(runner);
  (*runner)->force_routing(5);
  // Steps of more than four tokens meet at grid barriers, the others hand on words.
  const auto tokens = random_tokens(5, 100000, 11);
  const auto together = logits_of(**runner, tokens, {5});
  const auto most = logits_of(**runner, tokens, {4, 1});
  const auto fewer = logits_of(**runner, tokens, {1, 2, 2});
  for (std::size_t i = 0; i < together.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_error(most[i], together[i]) < 0.03);
    CHECK(relative_error(fewer[i], together[i]) < 0.03);
  }
  // The same bits, however the warps of this run were scheduled.
  const bool same = logits_of(**runner, tokens, {4, 1}) == most;
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

TEST_CASE("few BF16 tokens at Lite's sizes answer as several together", "[emulated][steps][bf16]") {
  compare_lite_steps(false);
}

TEST_CASE("few FP8 tokens at Lite's sizes answer as several together", "[emulated][steps]") {
  compare_lite_steps(true);
}
