// What the kernels build from single instructions: pairs of BF16 values, reductions within a warp.
#pragma once

#include "kernels/cuda/ptx.cuh"

namespace caretd::kernels::cuda {

__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

__device__ __forceinline__ float2 unpack_bf16(std::uint32_t pair) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000U));
}

/// Four E4M3 bytes to two BF16 pairs, each value 2^-120 too small: {bytes 1, 3} and {bytes 0, 2}.
/// Moving sign, exponent and mantissa is exact for subnormals too.
__device__ __forceinline__ void widen_fp8(std::uint32_t bytes, std::uint32_t& odd,
                                          std::uint32_t& even) {
  odd = (bytes & 0x80008000U) | ((bytes >> 4) & 0x07F007F0U);
  even = ((bytes << 8) & 0x80008000U) | ((bytes << 4) & 0x07F007F0U);
}

/// Returns once `counter`, which only grows, has reached `target`.
__device__ __forceinline__ void wait_for(const unsigned* counter, unsigned target) {
  while (static_cast<int>(load_acquire(counter) - target) < 0) {
  }
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0U, value, offset);
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0U, value, offset));
  }
  return value;
}

}  // namespace caretd::kernels::cuda
