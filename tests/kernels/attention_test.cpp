#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/numeric_formats.h"
#include "tests/helpers/catch.h"
#include "tests/kernels/samples.h"

using namespace caretd::kernels::cpu;
using caretd::test::random_floats;

namespace {

struct Scene {
  int tokens = 1;
  int heads = 3;
  int latent = 32;
  int numbers = 48;  ///< in a key
  int first_position = 0;
};

float rounded(float value, Format format) {
  return format == Format::f16 ? caretd::kernels::f16_to_float(caretd::kernels::float_to_f16(value))
                               : value;
}

/// Keys in pages, queries, and what attention makes of them in float64.
struct Problem {
  Problem(const Scene& shape, const Kernels& kernels, Format key_format)
      : scene(shape), format(key_format), width(key_width(shape.numbers)) {
    page_count = (keys() + kKeysPerPage - 1) / kKeysPerPage;
    const auto key_bytes = static_cast<std::size_t>(width * size_of(format));
    // Rows behind the last key were never written or belong to what was there before.
    memory.assign(key_bytes * kKeysPerPage * static_cast<std::size_t>(page_count) +
                      static_cast<std::size_t>(kTile * size_of(format)),
                  std::byte{0xff});
    for (int p = 0; p < page_count; ++p) {
      pages.push_back(memory.data() + static_cast<std::size_t>(p * kKeysPerPage) * key_bytes);
    }
    values = random_floats(static_cast<std::size_t>(keys() * scene.numbers), 1);
    for (int key = 0; key < keys(); ++key) {
      kernels.store_key(values.data() + static_cast<std::ptrdiff_t>(key) * scene.numbers,
                        scene.numbers, format,
                        memory.data() + static_cast<std::size_t>(key) * key_bytes);
    }
    for (float& value : values) value = rounded(value, format);
    queries = random_floats(static_cast<std::size_t>(rows() * width), 2, 0.5F);
  }

  [[nodiscard]] int rows() const { return scene.tokens * scene.heads; }
  [[nodiscard]] int keys() const { return scene.first_position + scene.tokens; }

  [[nodiscard]] std::vector<double> expected(int row) const {
    const int seen = scene.first_position + row / scene.heads + 1;
    std::vector<double> weights;
    double largest = -1e300;
    for (int key = 0; key < seen; ++key) {
      double score = 0;
      for (int d = 0; d < scene.numbers; ++d) {
        score += static_cast<double>(queries[static_cast<std::size_t>(row * width + d)]) *
                 values[static_cast<std::size_t>(key * scene.numbers + d)];
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
            values[static_cast<std::size_t>(key * scene.numbers + d)];
      }
    }
    return result;
  }

  Scene scene;
  Format format;
  int width;
  int page_count = 0;
  std::vector<float> values;  ///< [keys][scene.numbers], as the pages hold them
  std::vector<std::byte> memory;
  std::vector<const std::byte*> pages;
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
      static_cast<std::size_t>(attention_scratch(problem.rows(), problem.width)) / 2 + 1);
  const int pages_per_part = (problem.page_count + parts - 1) / parts;
  for (std::size_t part = 0; part < count; ++part) {
    const int first = static_cast<int>(part) * pages_per_part * kKeysPerPage;
    kernels.attend({.queries = problem.queries.data(),
                    .tokens = scene.tokens,
                    .heads = scene.heads,
                    .latent = scene.latent,
                    .width = problem.width,
                    .key_format = problem.format,
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
      {.tokens = 1, .heads = 6, .latent = 128, .numbers = 160, .first_position = 500},
      {.tokens = 1, .heads = 8, .latent = 20, .numbers = 26, .first_position = 70},
      {.tokens = 2, .heads = 6, .latent = 128, .numbers = 160, .first_position = 130},
      {.tokens = 7, .heads = 2, .first_position = 60},
      {.tokens = 20, .heads = 5, .first_position = 0},
      {.tokens = 130, .heads = 1, .latent = 20, .numbers = 26, .first_position = 3},
      {.tokens = 3, .heads = 9, .latent = 40, .numbers = 57, .first_position = 190}};
  const Format format = GENERATE(Format::f32, Format::f16);
  caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
    for (const Scene& scene : scenes) {
      const Problem problem(scene, kernels, format);
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

TEST_CASE("a key in float16 is rounded, filled up with zeros and never infinite") {
  std::vector<float> key = random_floats(21, 3, 100.0F);
  key[0] = 65520.0F;
  key[1] = -1e30F;
  key[2] = std::nanf("");
  key[20] = 1e-7F;
  caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
    std::vector<std::uint16_t> stored(static_cast<std::size_t>(key_width(21)) + 1, 0x1234);
    kernels.store_key(key.data(), 21, Format::f16, reinterpret_cast<std::byte*>(stored.data()));
    CHECK(caretd::kernels::f16_to_float(stored[0]) == 65504.0F);
    CHECK(caretd::kernels::f16_to_float(stored[1]) == -65504.0F);
    CHECK(std::isnan(caretd::kernels::f16_to_float(stored[2])));
    for (std::size_t i = 3; i < key.size(); ++i) {
      CHECK(stored[i] == caretd::kernels::float_to_f16(key[i]));
    }
    for (std::size_t i = key.size(); i < 32; ++i) CHECK(stored[i] == 0);
    CHECK(stored[32] == 0x1234);
  });
}
