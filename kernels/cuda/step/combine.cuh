// What becomes of a layer's attention: the splits of a sequence are merged by their log-sum-exp,
// and the merged latent goes through kv_b's value half.
#pragma once

#include "kernels/cuda/step/attention.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Merges the splits of latent columns [column, column + width) of one (token, head): every split
/// counts with its own sum of exponentials. store(column, values) gets four columns at a time.
/// All consumer threads; width is a multiple of 128 and at most 512.
template <class Store>
__device__ __forceinline__ void combine_splits(const Block& block, int token, int head, int column,
                                               int width, Store&& store) {
  const StepParams& p = block.p;
  const StepRun& run = block.header->run[block.header->token[token].run];
  const int row = (token - run.first_token) * sizes(p).heads + head;
  const int first_item = run.first_item + row / kAttentionRows * run.splits;
  const float2* stats =
      p.buffers.partial_stats + first_item * kAttentionRows + row % kAttentionRows;
  const __nv_bfloat16* partial =
      p.buffers.partial +
      (static_cast<std::int64_t>(first_item) * kAttentionRows + row % kAttentionRows) *
          sizes(p).kv_rank;
  const std::int64_t stride = static_cast<std::int64_t>(kAttentionRows) * sizes(p).kv_rank;
  const int owners = width / 4;  // threads that together own one split's columns
  const int parts = kStepConsumers / owners;
  const int thread = static_cast<int>(threadIdx.x);
  const int mine = column + thread % owners * 4;
  const int part = thread / owners;

  // The first rows of this thread are asked for before the statistics that weigh them are known.
  constexpr int kAhead = 8;
  uint2 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int s = min(part + i * parts, run.splits - 1);
    ahead[i] = *reinterpret_cast<const uint2*>(partial + s * stride + mine);
  }
  constexpr int kStats = kMaxSplits / 32;
  float2 stat[kStats];
  float maximum = -INFINITY;
#pragma unroll
  for (int i = 0; i < kStats; ++i) {
    const int s = block.lane + i * 32;
    stat[i] = make_float2(-INFINITY, 0.0F);
    if (s < run.splits) stat[i] = stats[s * kAttentionRows];
  }
#pragma unroll
  for (int i = 0; i < kStats; ++i) maximum = fmaxf(maximum, stat[i].x);
  maximum = warp_max(maximum);
  float total = 0.0F;
  float* factors =
      reinterpret_cast<float*>(block.activations() + block.p.shared.activation_bytes) - kMaxSplits;
#pragma unroll
  for (int i = 0; i < kStats; ++i) {
    stat[i].x = stat[i].x == -INFINITY ? 0.0F : exp2f(stat[i].x - maximum);
    total += stat[i].x * stat[i].y;
  }
  const float scale = 1.0F / warp_sum(total);
  if (block.warp == 0) {
#pragma unroll
    for (int i = 0; i < kStats; ++i) factors[block.lane + i * 32] = stat[i].x * scale;
  }
  consumer_sync();
  float4 sum = make_float4(0, 0, 0, 0);
  const auto add = [&](int s, uint2 v) {
    const float factor = factors[s];
    const float2 low = unpack_bf16(v.x);
    const float2 high = unpack_bf16(v.y);
    sum = make_float4(sum.x + factor * low.x, sum.y + factor * low.y, sum.z + factor * high.x,
                      sum.w + factor * high.y);
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int s = part + i * parts;
    if (s < run.splits) add(s, ahead[i]);
  }
#pragma unroll 4
  for (int s = part + kAhead * parts; s < run.splits; s += parts) {
    add(s, *reinterpret_cast<const uint2*>(partial + s * stride + mine));
  }
  auto* sums = reinterpret_cast<float4*>(block.scratch());
  sums[thread] = sum;
  consumer_sync();
  if (thread < owners) {
#pragma unroll 1
    for (int i = 1; i < parts; ++i) {
      const float4 v = sums[i * owners + thread];
      sum = make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
    }
    store(mine, sum);
  }
  consumer_sync();
}

/// Merging as an operation of its own, for many splits: a quarter of a (token, head) a block.
__device__ __forceinline__ void combine_all(const Block& block) {
  const StepDims& dims = sizes(block.p);
  const int width = max(128, dims.kv_rank / 4);
  const int pieces = dims.kv_rank / width;
#pragma unroll 1
  for (int i = block.index; i < block.tokens() * dims.heads * pieces; i += block.blocks) {
    const int row = i / pieces;
    __nv_bfloat16* out = block.p.buffers.context + static_cast<std::int64_t>(row) * dims.kv_rank;
    combine_splits(block, block.p.divide.heads.quotient(row), block.p.divide.heads.remainder(row),
                   i % pieces * width, width,
                   [&](int column, float4 v) { store_activation4<Format::bf16>(out, column, v); });
  }
}

/// Takes the merged latent outputs through kv_b's value half, a tile of 16 values of one head a
/// block. F is the format of the output projection, whose operand this writes.
template <Format F, int NT>
__device__ __forceinline__ void expand_values(Block& block) {
  const StepDims& dims = sizes(block.p);
  const PackedShape shape{Format::bf16, dims.v, dims.kv_rank};
  const Share share(block, dims.heads * shape.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int head = block.p.divide.value_tiles.quotient(share.tile(i));
    Operand<NT> operand;
    if (block.p.batch.combine_separately != 0) {
      operand = operand_rows<NT>(block, block.p.buffers.context + head * dims.kv_rank,
                                 static_cast<std::int64_t>(dims.heads) * dims.kv_rank);
    } else {
#pragma unroll 1
      for (int token = 0; token < block.tokens(); ++token) {
        combine_splits(block, token, head, 0, dims.kv_rank, [&](int column, float4 v) {
          store_activation4<Format::bf16>(staged_row(block, token), column, v);
        });
      }
      operand = staged_operand<NT>(block);
    }
    float acc[NT][4];
    multiply_tile<Format::bf16, NT>(block, shape, operand, acc);
    store_tile<NT>(
        block, share.tile(i) - head * shape.tiles(), acc, [&](int row, int token, float value) {
          store_activation<F>(
              block.p.buffers.attention + static_cast<std::int64_t>(token) * dims.heads * dims.v,
              head * dims.v + row, value);
        });
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
