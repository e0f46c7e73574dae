// Reproducible numbers for kernel tests.
#pragma once

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "tests/helpers/catch.h"

namespace caretd::test {

inline std::vector<float> random_floats(std::size_t count, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// Runs `check(kernels)` for every instruction set of this machine.
template <typename Check>
void for_every_instruction_set(Check check) {
  for (const auto* kernels : kernels::cpu::available_kernels()) {
    INFO(kernels->id);
    check(*kernels);
  }
}

}  // namespace caretd::test
