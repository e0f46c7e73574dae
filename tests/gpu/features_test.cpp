// Random models that carry every feature of the family, on the GPU against the CPU in float32.
#include <cstdio>

#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/shapes.h"
#include "tests/gpu/gpu_fixture.h"
#include "tests/helpers/temporary_folder.h"

using namespace caretd::engine;
using namespace caretd::test;

namespace {

/// Share of tokens that may be far off: random routers are often nearly undecided, and a flipped
/// expert changes everything after it.
constexpr double kFlipped = 0.1;
constexpr double kBound = 0.03;

void compare(const std::string& shape, WeightFormat format) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "model";
  const auto config = shape_by_name(shape);
  REQUIRE(config);
  REQUIRE(write_checkpoint(path, *config, {.seed = 11, .format = format, .threads = 2}));
  const auto checkpoint = open_checkpoint(path);
  const auto gpu = gpu_runner(checkpoint);
  const auto cpu = cpu_runner(checkpoint);
  const auto tokens = random_tokens(230, config->vocab_size, 1);
  const auto expected = logits_of(*cpu, tokens, {230});
  for (const std::vector<int>& pieces :
       {std::vector<int>{1, 2, 5, 8, 9, 16, 17, 32, 3}, std::vector<int>{120, 1, 4, 105}}) {
    const auto found = logits_of(*gpu, tokens, pieces);
    std::vector<double> errors;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      errors.push_back(relative_error(found[i], expected[i]));
    }
    std::ranges::sort(errors);
    const double median = errors[errors.size() / 2];
    const double most =
        errors[static_cast<std::size_t>(static_cast<double>(errors.size() - 1) * (1 - kFlipped))];
    std::printf("%-18s %-10s median %.4f, 90 %% within %.4f, worst %.4f\n", shape.c_str(),
                std::string(to_string(format)).c_str(), median, most, errors.back());
    INFO(shape);
    CHECK(median < kBound);
    CHECK(most < 2 * kBound);
  }
}

}  // namespace

TEST_CASE("every feature agrees with the CPU", "[features]") {
  for (const NamedShape& shape : named_shapes()) {
    if (!shape.name.starts_with("small")) continue;
    compare(std::string(shape.name), WeightFormat::bf16);
  }
  for (const WeightFormat format :
       {WeightFormat::fp8_block, WeightFormat::fp8_tensor, WeightFormat::f32}) {
    compare("small-full", format);
    compare("small", format);
  }
}
