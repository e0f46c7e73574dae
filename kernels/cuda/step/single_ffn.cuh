// Routing and the feed-forward half of a layer for a step of one token; see single_attention.cuh.
#pragma once

#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/single_attention.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Waits for the logits, chooses the token's experts and hands the table to the block's consumers;
/// the producer warp of every block, each for itself.
__device__ __forceinline__ int await_single_routing(Block& block, const RoutingTable& table,
                                                    int layer, const Marks& marks) {
  constexpr int kExperts = kSingle.experts;
  constexpr int kPerLane = (kExperts + 31) / 32;
  const StepParams& p = block.p;
  uint2 words[kPerLane];
  await_words<kPerLane>(marks.within(layer), words, [&](int i) -> const StepWord* {
    const int expert = block.lane + i * 32;
    return expert < kExperts ? p.words.router + expert * 2 : nullptr;
  });
  float logit[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const float2 sums = as_floats(words[i]);
    logit[i] = sums.x * rsqrtf(sums.y / sizes(p).hidden + p.dims.norm_epsilon);
  }
  const int distinct = build_single_table(
      p, table, choose_by_logits(p, layer, block.header->token[0], logit, block.lane), block.lane);
  if (block.lane == 0) {
    if (block.index == 0) p.counters->distinct += distinct;
    mbarrier_arrive(shared_address(&block.header->routing_ready));
  }
  return distinct;
}

/// silu(gate) * up of an interleaved tile, times the weight of the expert, as words; see
/// store_gated. `first` is the activation of the tile's first unit.
template <Format F>
__device__ __forceinline__ void publish_gated(Block& block, int first, float weight,
                                              const float (&acc)[1][4], unsigned mark) {
  finish_in_one_warp(block, acc, [&](const TileSums& sums) {
    const int unit = block.lane % kStripRows;
    const float scale = normed_scale(block, 0);
    const float gate = sums.sum(unit, 0) * scale;
    const float up = sums.sum(unit + kStripRows, 0) * scale;
    publish_activation<F>(block.p.words.ffn, first + unit,
                          gate / (1.0F + __expf(-gate)) * up * weight, block.lane < kStripRows,
                          mark);
  });
}

/// Norms x and, in a MoE layer, hands on the logit of the block's expert, if it has one: its dot
/// product with x, which is not normed yet, and the sum of squares of x.
template <Format F>
__device__ __forceinline__ void norm_and_route(Block& block, int layer, bool moe,
                                               const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  Columns norm;
  norm.load(p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden);
  const bool routes = moe && block.index < dims.experts;
  Columns router;
  if (routes) {
    router.load(p.weights.router +
                (static_cast<std::int64_t>(dims.moe_index(layer)) * dims.experts + block.index) *
                    dims.hidden);
    router.multiply(norm);
  }
  float* dots = block.header->squares[1];
  await_norm<F>(
      block, norm, marks.x_between(layer),
      [&](const Columns& x) {
        if (!routes) return;
        const float dot = warp_sum(x.dot(router));
        if (block.lane == 0) dots[block.warp] = dot;
      },
      [&](float squares) {
        if (!routes) return;
        StepWord* to = p.words.router + block.index * 2;
        publish(to, sum_of_warps(dots), marks.within(layer));
        publish(to + 1, squares, marks.within(layer));
      });
}

template <Format F>
__device__ __forceinline__ void gate_and_up_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  norm_and_route<F>(block, layer, ffn.moe, marks);
  const unsigned mark = marks.within(layer);
  const Operand<1> operand = staged_operand<1>(block);
  const Share always(block, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < always.count; ++i) {
    float acc[1][4];
    multiply_tile<F, 1>(block, ffn.up, operand, acc);
    publish_gated<F>(block, always.tile(i) * kStripRows, 1.0F, acc, mark);
  }
  if (!ffn.moe) return;
  mbarrier_wait(shared_address(&block.header->routing_ready), block.moe_layers++ & 1U);
  const RoutingTable table(block, 8);
  const int tiles = ffn.expert_up.tiles();
  const Share share(block, dims.topk * tiles, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    float acc[1][4];
    multiply_tile<F, 1>(block, ffn.expert_up, operand, acc);
    const int d = p.divide.expert_tiles.quotient(share.tile(i));
    publish_gated<F>(
        block, dims.shared_width + d * dims.expert_width + (share.tile(i) - d * tiles) * kStripRows,
        table.weight_of[d], acc, mark);
  }
}

/// x += down(activations): the activations of all experts lie one behind the other.
template <Format F>
__device__ __forceinline__ void down_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  const Share share(block, ffn.down.tiles());
  if (share.count == 0) return;
  if (ffn.moe) {
    await_row<kSingle.shared_width + kSingle.topk * kSingle.expert_width>(block, p.words.ffn,
                                                                          marks.within(layer));
  } else {
    await_row<kSingle.dense_width>(block, p.words.ffn, marks.within(layer));
  }
  end_operation(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const AwaitedResidual residual(block, share.tile(i), marks.x_between(layer));
    Operand<1> operand = staged_operand<1>(block);
    float acc[1][4];
    multiply_tile<F, 1>(block, ffn.down, operand, acc);
    if (ffn.moe) {
      operand.row[0] += dims.shared_width;
#pragma unroll 1
      for (int d = 0; d < dims.topk; ++d) {
        add_tile<F, 1>(block, ffn.expert_down, operand, acc);
        operand.row[0] += dims.expert_width;
      }
    }
    residual.add(block, acc, marks.x_before(layer + 1));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
