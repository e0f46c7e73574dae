// RMSNorm of the step's tokens into the block's activation rows. Every block does all tokens for
// itself: 8 KB a token from L2 cost less than a grid barrier. The rows are staged times the norm's
// weights alone; 1 / rms is a factor of the whole row and multiplies the results (normed_scale), so
// that products need not wait for the sum of squares.
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

/// staged[token] = x[token] * weight for x [T, width], and its 1 / rms in the header, which is
/// there at the next barrier of the consumers.
template <Format F>
__device__ __forceinline__ void stage_norm(const Block& block, const float* x, int width,
                                           const float* weight) {
  constexpr int kAhead = 2;  // pieces of a thread on their way together
  constexpr int kPiece = kStepConsumers * 4;
  const int per_token = (width + kPiece - 1) / kPiece;
  const int pieces = block.tokens() * per_token;
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int begin = 0; begin < pieces; begin += kAhead) {
    float4 v[kAhead];
    float4 w[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int token = (begin + i) / per_token;
      const int column = (begin + i - token * per_token) * kPiece + thread * 4;
      const bool valid = begin + i < pieces && column < width;
      v[i] = w[i] = make_float4(0, 0, 0, 0);
      if (!valid) continue;
      v[i] =
          *reinterpret_cast<const float4*>(x + static_cast<std::int64_t>(token) * width + column);
      w[i] = __ldg(reinterpret_cast<const float4*>(weight + column));
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (begin + i >= pieces) break;
      const int token = (begin + i) / per_token;
      const int part = begin + i - token * per_token;
      const int column = part * kPiece + thread * 4;
      const float sum =
          warp_sum(v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w);
      if (block.lane == 0) {
        float& total = block.header->squares[token][block.warp];
        total = part == 0 ? sum : total + sum;
      }
      if (column < width) {
        store_activation4<F>(
            staged_row(block, token), column,
            make_float4(v[i].x * w[i].x, v[i].y * w[i].y, v[i].z * w[i].z, v[i].w * w[i].w));
      }
    }
  }
  consumer_sync();
  if (thread < block.tokens()) {
    float sum = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStepConsumerWarps; ++warp)
      sum += block.header->squares[thread][warp];
    block.header->scale[thread] =
        rsqrtf(sum / static_cast<float>(width) + block.p.dims.norm_epsilon);
  }
}

/// What results of the staged rows are multiplied with.
__device__ __forceinline__ float normed_scale(const Block& block, int token) {
  return block.header->scale[token];
}

/// Tiles of one matrix times the staged rows, with store(row, token, value).
template <Format F, int NT, class Store>
__device__ __forceinline__ void multiply_normed(Block& block, const PackedShape& shape,
                                                Store&& store) {
  const Share share(block, shape.tiles());
  const Operand<NT> operand = staged_operand<NT>(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    float acc[NT][4];
    multiply_tile<F, NT>(block, shape, operand, acc);
    store_tile<NT>(block, share.tile(i), acc, [&](int row, int token, float value) {
      store(row, token, value * normed_scale(block, token));
    });
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
