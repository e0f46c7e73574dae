// What the small kernels of prefill share: a warp or a block a row, eight neighbouring values a
// thread.
#pragma once

#include "kernels/cuda/warp.cuh"

namespace caretd::kernels::cuda {

inline constexpr int kThreads = 256;
inline constexpr int kWarps = kThreads / 32;

inline int blocks_of_warps(int warps) {
  return (warps + kWarps - 1) / kWarps;
}

__device__ __forceinline__ int global_warp() {
  return static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
}
__device__ __forceinline__ int lane_id() {
  return static_cast<int>(threadIdx.x) % 32;
}

/// Eight neighbouring values.
struct Eight {
  float value[8];
};

__device__ __forceinline__ Eight load_eight(const float* from) {
  const float4 low = *reinterpret_cast<const float4*>(from);
  const float4 high = *reinterpret_cast<const float4*>(from + 4);
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}
__device__ __forceinline__ Eight load_eight(const __nv_bfloat16* from) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  Eight out;
  const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(&bits);
  for (int i = 0; i < 4; ++i) {
    const float2 pair = __bfloat1622float2(pairs[i]);
    out.value[2 * i] = pair.x;
    out.value[2 * i + 1] = pair.y;
  }
  return out;
}

__device__ __forceinline__ float squares_of(const Eight& v) {
  float sum = 0.0F;
  for (const float value : v.value) sum += value * value;
  return sum;
}

/// Returns what it writes: v * scale * weight.
__device__ __forceinline__ uint4 store_normed(__nv_bfloat16* to, const Eight& v, float scale,
                                              const Eight& weight) {
  std::uint32_t pairs[4];
  for (int i = 0; i < 4; ++i) {
    pairs[i] = pack_bf16(v.value[2 * i] * scale * weight.value[2 * i],
                         v.value[2 * i + 1] * scale * weight.value[2 * i + 1]);
  }
  const uint4 bits = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
  *reinterpret_cast<uint4*>(to) = bits;
  return bits;
}

/// Sum over the threads of a block of kThreads; `of_warp` holds a number a warp.
__device__ __forceinline__ float block_total(float value, float (&of_warp)[kWarps]) {
  value = warp_sum(value);
  if (lane_id() == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0F;
  for (const float of_one : of_warp) total += of_one;
  return total;
}

}  // namespace caretd::kernels::cuda
