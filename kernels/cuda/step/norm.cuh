// RMSNorm of the step's tokens into the block's activation rows. Every block does all tokens for
// itself: 8 KB a token from L2 cost less than a grid barrier.
#pragma once

#include "kernels/cuda/step/multiply.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The staged activation rows.
__device__ __forceinline__ __nv_bfloat16* staged_row(const Block& block, int token) {
  return reinterpret_cast<__nv_bfloat16*>(block.activations() +
                                          token * block.p.shared.activation_pitch);
}
template <int NT>
__device__ __forceinline__ Operand<NT> staged_operand(const Block& block) {
  return operand_rows<NT>(block, staged_row(block, 0), block.p.shared.activation_pitch / 2);
}

/// Base-2 logarithm of how many warps share a token's row.
__device__ __forceinline__ int norm_slices_log2(int tokens) {
  return tokens > 8 ? 0 : tokens > 4 ? 1 : tokens > 2 ? 2 : tokens > 1 ? 3 : 4;
}

/// staged[token] = x[token] / rms(x[token]) * weight for x [T, width], width a multiple of 64.
template <Format F>
__device__ __forceinline__ void stage_norm(const Block& block, const float* x, int width,
                                           const float* weight) {
  const int shift = norm_slices_log2(block.tokens());
  const int columns = width >> shift;
  const int items = block.tokens() << shift;
  float* sums = reinterpret_cast<float*>(block.scratch());
#pragma unroll 1
  for (int i = block.warp; i < items; i += kStepConsumerWarps) {
    const int token = i >> shift;
    const int begin = (i - (token << shift)) * columns;
    prefetch_l1(weight + begin + block.lane * 4);
    const float* row = x + static_cast<std::int64_t>(token) * width + begin;
    float sum = 0.0F;
#pragma unroll 4
    for (int c = block.lane * 4; c < columns; c += 128) {
      const float4 v = *reinterpret_cast<const float4*>(row + c);
      sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    sum = warp_sum(sum);
    if (block.lane == 0) sums[i] = sum;
  }
  consumer_sync();
  const float inverse_width = 1.0F / static_cast<float>(width);
#pragma unroll 1
  for (int i = block.warp; i < items; i += kStepConsumerWarps) {
    const int token = i >> shift;
    const int begin = (i - (token << shift)) * columns;
    const float sum =
        warp_sum(block.lane < 1 << shift ? sums[(token << shift) + block.lane] : 0.0F);
    const float scale = rsqrtf(sum * inverse_width + block.p.dims.norm_epsilon);
    const float* row = x + static_cast<std::int64_t>(token) * width;
    __nv_bfloat16* out = staged_row(block, token);
#pragma unroll 2
    for (int c = begin + block.lane * 4; c < begin + columns; c += 128) {
      const float4 v = *reinterpret_cast<const float4*>(row + c);
      const float4 w = *reinterpret_cast<const float4*>(weight + c);
      store_activation4<F>(
          out, c,
          make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w));
    }
  }
  consumer_sync();
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
