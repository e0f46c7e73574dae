#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "tests/helpers/catch.h"
#include "tests/kernels/samples.h"

using namespace caretd::kernels::cpu;
using caretd::test::random_floats;

namespace {

struct Scene {
  int tokens = 1;
  int heads = 3;
  int latent = 32;
  int width = 48;
  int first_position = 0;
};

/// Keys in pages, queries, and what attention makes of them in float64.
struct Problem {
  explicit Problem(const Scene& shape) : scene(shape) {
    const int keys = shape.first_position + shape.tokens;
    page_count = (keys + kKeysPerPage - 1) / kKeysPerPage;
    const std::size_t page_floats = static_cast<std::size_t>(kKeysPerPage * shape.width);
    memory = random_floats(page_floats * static_cast<std::size_t>(page_count) + kTile, 1);
    for (int p = 0; p < page_count; ++p) {
      pages.push_back(memory.data() + static_cast<std::size_t>(p) * page_floats);
    }
    // Rows behind the last key were never written or belong to what was there before.
    std::fill(memory.begin() + static_cast<std::ptrdiff_t>(keys) * shape.width, memory.end(),
              std::nanf(""));
    queries = random_floats(static_cast<std::size_t>(rows() * shape.width), 2, 0.5F);
  }

  [[nodiscard]] int rows() const { return scene.tokens * scene.heads; }
  [[nodiscard]] int keys() const { return scene.first_position + scene.tokens; }

  [[nodiscard]] std::vector<double> expected(int row) const {
    const int seen = scene.first_position + row / scene.heads + 1;
    std::vector<double> weights;
    double largest = -1e300;
    for (int key = 0; key < seen; ++key) {
      double score = 0;
      for (int d = 0; d < scene.width; ++d) {
        score += static_cast<double>(queries[static_cast<std::size_t>(row * scene.width + d)]) *
                 memory[static_cast<std::size_t>(key * scene.width + d)];
      }
      weights.push_back(score);
      largest = std::max(largest, score);
    }
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - largest);
    std::vector<double> result(static_cast<std::size_t>(scene.latent));
    for (int key = 0; key < seen; ++key) {
      for (int d = 0; d < scene.latent; ++d) {
        result[static_cast<std::size_t>(d)] +=
            weights[static_cast<std::size_t>(key)] / sum *
            memory[static_cast<std::size_t>(key * scene.width + d)];
      }
    }
    return result;
  }

  Scene scene;
  int page_count = 0;
  std::vector<float> memory;
  std::vector<const float*> pages;
  std::vector<float> queries;
};

/// Attention over `parts` ranges of pages, merged.
std::vector<float> attend_in_parts(const Kernels& kernels, const Problem& problem, int parts) {
  const Scene& scene = problem.scene;
  const auto rows = static_cast<std::size_t>(problem.rows());
  const auto latent = static_cast<std::size_t>(scene.latent);
  const auto count = static_cast<std::size_t>(parts);
  std::vector<float> outputs(count * rows * latent), maxima(count * rows), sums(count * rows);
  std::vector<double> aligned(
      static_cast<std::size_t>(attention_scratch(problem.rows(), scene.width)) / 2 + 1);
  const int pages_per_part = (problem.page_count + parts - 1) / parts;
  for (std::size_t part = 0; part < count; ++part) {
    const int first = static_cast<int>(part) * pages_per_part * kKeysPerPage;
    kernels.attend({.queries = problem.queries.data(),
                    .tokens = scene.tokens,
                    .heads = scene.heads,
                    .latent = scene.latent,
                    .width = scene.width,
                    .pages = problem.pages.data(),
                    .first_position = scene.first_position,
                    .first_key = first,
                    .end_key = std::min(first + pages_per_part * kKeysPerPage, problem.keys()),
                    .output = outputs.data() + part * rows * latent,
                    .maxima = maxima.data() + part * rows,
                    .sums = sums.data() + part * rows},
                   reinterpret_cast<float*>(aligned.data()));
  }
  std::vector<float> merged(rows * latent);
  for (std::size_t row = 0; row < rows; ++row) {
    kernels.merge_attention(outputs.data(), maxima.data(), sums.data(), parts, problem.rows(),
                            static_cast<int>(row), scene.latent, merged.data() + row * latent);
  }
  return merged;
}

}  // namespace

TEST_CASE("attention agrees with float64 whatever the shape, the position and the parts") {
  const std::vector<Scene> scenes{
      {.tokens = 1, .first_position = 0},
      {.tokens = 1, .first_position = 63},
      {.tokens = 1, .first_position = 64},
      {.tokens = 1, .heads = 6, .latent = 128, .width = 160, .first_position = 500},
      {.tokens = 1, .heads = 8, .latent = 20, .width = 26, .first_position = 70},
      {.tokens = 2, .heads = 6, .latent = 128, .width = 160, .first_position = 130},
      {.tokens = 7, .heads = 2, .first_position = 60},
      {.tokens = 20, .heads = 5, .first_position = 0},
      {.tokens = 130, .heads = 1, .latent = 20, .width = 26, .first_position = 3},
      {.tokens = 3, .heads = 9, .latent = 40, .width = 57, .first_position = 190}};
  caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
    for (const Scene& scene : scenes) {
      const Problem problem(scene);
      for (int parts = 1; parts <= problem.page_count; parts *= 2) {
        if ((problem.page_count + parts - 1) / parts * (parts - 1) >= problem.page_count) continue;
        INFO(scene.tokens << " tokens at " << scene.first_position << " in " << parts << " parts");
        const std::vector<float> got = attend_in_parts(kernels, problem, parts);
        double worst = 0;
        for (int row = 0; row < problem.rows(); ++row) {
          const std::vector<double> expected = problem.expected(row);
          for (std::size_t d = 0; d < expected.size(); ++d) {
            const double off = std::abs(
                static_cast<double>(got[static_cast<std::size_t>(row * scene.latent) + d]) -
                expected[d]);
            if (!(off <= worst)) worst = off;
          }
        }
        CHECK(worst < 1e-5);
      }
    }
  });
}
