#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "tests/helpers/catch.h"
#include "tests/kernels/samples.h"

using caretd::kernels::cpu::Kernels;
using caretd::test::random_floats;

namespace {

constexpr int kCounts[] = {1, 5, 15, 16, 17, 100, 384, 1003};

}  // namespace

TEST_CASE("the norm agrees with float64 and may work in place") {
  caretd::test::for_every_instruction_set([](const Kernels& kernels) {
    for (const int count : kCounts) {
      std::vector<float> x = random_floats(static_cast<std::size_t>(count), 1, 3.0F);
      const std::vector<float> original = x;
      const std::vector<float> weight = random_floats(static_cast<std::size_t>(count), 2);
      double squares = 0;
      for (const float value : x) squares += static_cast<double>(value) * value;
      const double factor = 1.0 / std::sqrt(squares / count + 1e-6);
      kernels.rms_norm(x.data(), weight.data(), count, 1e-6F, x.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE(x[i] == Approx(original[i] * factor * weight[i]).epsilon(1e-5).margin(1e-6));
      }
    }
  });
}

TEST_CASE("silu is right from the smallest to the largest gate") {
  caretd::test::for_every_instruction_set([](const Kernels& kernels) {
    std::vector<float> gate{-1e30F, -200.0F, -89.0F, -87.5F, -20.0F, -1.0F,  -1e-6F, 0.0F,  1e-6F,
                            0.5F,   3.0F,    20.0F,  88.0F,  89.5F,  500.0F, 1e30F,  -0.25F};
    const std::vector<float> up(gate.size(), 2.0F);
    std::vector<double> expected;
    for (const float g : gate) {
      expected.push_back(2.0 * static_cast<double>(g) / (1.0 + std::exp(-static_cast<double>(g))));
    }
    kernels.silu_multiply(gate.data(), up.data(), static_cast<int>(gate.size()));
    for (std::size_t i = 0; i < gate.size(); ++i) {
      REQUIRE(gate[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-7));
    }
  });
}

TEST_CASE("scaled rows add up without touching their neighbours") {
  caretd::test::for_every_instruction_set([](const Kernels& kernels) {
    for (const int count : kCounts) {
      const std::vector<float> x = random_floats(static_cast<std::size_t>(count), 3);
      std::vector<float> out(static_cast<std::size_t>(count) + 1, 1.0F);
      kernels.add_scaled(x.data(), -0.5F, count, out.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        REQUIRE(out[i] == Approx(1.0 - 0.5 * x[i]).margin(1e-6));
      }
      REQUIRE(out.back() == 1.0F);
    }
  });
}

TEST_CASE("log-sum-exp holds for spread and for large values") {
  caretd::test::for_every_instruction_set([](const Kernels& kernels) {
    for (const int count : kCounts) {
      for (const float shift : {-300.0F, 0.0F, 300.0F}) {
        std::vector<float> x = random_floats(static_cast<std::size_t>(count), 4, 10.0F);
        double largest = -1e300;
        for (float& value : x) {
          value += shift;
          largest = std::max(largest, static_cast<double>(value));
        }
        double sum = 0;
        for (const float value : x) sum += std::exp(value - largest);
        const double expected = largest + std::log(sum);
        REQUIRE(kernels.log_sum_exp(x.data(), count) == Approx(expected).epsilon(1e-6));
      }
    }
  });
}

TEST_CASE("group maxima and what reaches a limit are found at every size") {
  caretd::test::for_every_instruction_set([](const Kernels& kernels) {
    for (const int count : kCounts) {
      const std::vector<float> x = random_floats(static_cast<std::size_t>(count), 6);
      for (const int group : {1, 3, 16, 40}) {
        std::vector<float> maxima(static_cast<std::size_t>((count + group - 1) / group));
        kernels.group_maxima(x.data(), count, group, maxima.data());
        for (std::size_t g = 0; g < maxima.size(); ++g) {
          const auto first = x.begin() + static_cast<std::ptrdiff_t>(g) * group;
          const auto last = x.begin() + std::min<std::ptrdiff_t>(
                                            count, static_cast<std::ptrdiff_t>(g + 1) * group);
          REQUIRE(maxima[g] == *std::max_element(first, last));
        }
      }
      const float limit = x[static_cast<std::size_t>(count / 2)];
      std::vector<std::int32_t> expected;
      for (int i = 0; i < count; ++i) {
        if (x[static_cast<std::size_t>(i)] >= limit) expected.push_back(i);
      }
      std::vector<std::int32_t> found(static_cast<std::size_t>(count));
      found.resize(
          static_cast<std::size_t>(kernels.find_at_least(x.data(), count, limit, found.data())));
      REQUIRE(found == expected);
    }
  });
}
