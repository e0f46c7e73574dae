// Stands in for kernels/cuda/hopper.cuh, as far as the step kernels use it.
#pragma once

#include "kernels/cuda/warp.cuh"

namespace caretd::kernels::cuda {

inline void fence_shared_for_copies() {}

enum class SharedLayout : std::uint64_t { core_matrices = 0 };

inline std::uint64_t shared_operand(std::uint32_t address, unsigned leading, unsigned stride,
                                    SharedLayout) {
  return emulation::Operand{address, leading, stride}.pack();
}
inline std::uint64_t operand_at(std::uint64_t operand, unsigned bytes) {
  return emulation::Operand::unpack(operand, bytes).pack();
}

inline void products_begin() {}
inline void products_commit() {}
template <int>
void products_wait() {}
template <int N>
void products_ready(float (&)[N]) {}

inline void multiply_shared_fp8(float (&d)[8], std::uint64_t a, std::uint64_t b, unsigned step) {
  std::fill(d, d + 8, 0.0F);
  emulation::multiply_e4m3(d, emulation::Operand::unpack(a), emulation::Operand::unpack(b));
  emulation::multiply_e4m3(d, emulation::Operand::unpack(a, step),
                           emulation::Operand::unpack(b, step));
}

}  // namespace caretd::kernels::cuda
