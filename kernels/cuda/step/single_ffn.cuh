// Routing and the feed-forward half of a layer for a step of one token; see single_attention.cuh.
#pragma once

#include <cfloat>

#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/single_attention.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

inline constexpr int kExpertsOfLane = (kSingle.experts + 31) / 32;
static_assert(kSingle.experts % 32 == 0 && kSingle.group_limited == 0);

/// What the experts are chosen by: their logits, which are in the order of the probabilities.
__device__ __forceinline__ void single_keys(const StepParams& p, int layer, const StepToken& token,
                                            int lane, const float (&logit)[kExpertsOfLane],
                                            float (&key)[kExpertsOfLane]) {
#pragma unroll
  for (int i = 0; i < kExpertsOfLane; ++i) {
    // A logit that is no number must not be chosen twice: -inf marks what is taken.
    key[i] = logit[i] >= -FLT_MAX ? logit[i] : -FLT_MAX;
    if (p.forced_routing != 0) {
      key[i] = forced_key(p.forced_routing + token.run, layer, token.position, lane + 32 * i);
    }
  }
}

/// The token's experts for the producer warp, which finds them one by one: the first is on its way
/// while the others are still open. Their weights are the router warp's business.
struct SingleRoutes {
  const Marks& marks;
  int lane;
  float key[kExpertsOfLane] = {};
  int known = 0;
  int mine = 0;  ///< lane k: the k-th expert

  /// Waits for the logits of all blocks and hands them to the router warp.
  __device__ __forceinline__ void await(Block& block, int layer) {
    const StepParams& p = block.p;
    uint2 words[kExpertsOfLane];
    await_words<kExpertsOfLane>(marks.within(layer), words, [&](int i) -> const StepWord* {
      return p.words.router + (lane + i * 32) * 2;
    });
    float logit[kExpertsOfLane];
#pragma unroll
    for (int i = 0; i < kExpertsOfLane; ++i) {
      const float2 sums = as_floats(words[i]);
      logit[i] = sums.x * rsqrtf(sums.y / sizes(p).hidden + p.dims.norm_epsilon);
      block.header->logits[lane + i * 32] = logit[i];
    }
    __syncwarp();
    if (lane == 0) mbarrier_arrive(shared_address(&block.header->logits_ready));
    single_keys(p, layer, block.header->token[0], lane, logit, key);
    known = 0;
  }
  [[nodiscard]] __device__ __forceinline__ int count() const {
    return kSingle.topk;
  }
  [[nodiscard]] __device__ __forceinline__ int expert(int d) {
#pragma unroll 1
    for (; known <= d; ++known) {
      const int next = take_next(lane, key);
      if (lane == known) mine = next;
    }
    return __shfl_sync(~0U, mine, d);
  }
};

/// The weights of the token's experts, by falling logit as the producer loads them; the router warp
/// of every block, each for itself.
__device__ __forceinline__ void weigh_experts(Block& block, int layer) {
  const StepParams& p = block.p;
  SharedHeader& header = *block.header;
  mbarrier_wait(shared_address(&header.logits_ready), block.moe_layers++ & 1U);
  float logit[kExpertsOfLane];
  float probability[kExpertsOfLane];
  float key[kExpertsOfLane];
#pragma unroll
  for (int i = 0; i < kExpertsOfLane; ++i) logit[i] = header.logits[block.lane + i * 32];
  softmax(sizes(p), block.lane, logit, probability);
  single_keys(p, layer, header.token[0], block.lane, logit, key);
  const Choice choice = take_largest(sizes(p), block.lane, key, probability);
  if (block.lane < kSingle.topk) RoutingTable(block, 8).weight_of[block.lane] = choice.weight;
  __syncwarp();
  if (block.lane != 0) return;
  if (block.index == 0) p.counters->distinct += kSingle.topk;
  mbarrier_arrive(shared_address(&header.routing_ready));
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
  const FfnWeights ffn(p, F, layer);
  norm_and_route<F>(block, layer, ffn.moe, marks);
  const SingleRow<F> row(block);
  const Share always(block, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < always.count; ++i) hand_over<F>(block, multiply_single(block, ffn.up, row));
  if (!ffn.moe) return;
  mbarrier_wait(shared_address(&block.header->routing_ready), block.moe_layers++ & 1U);
  const Share share(block, sizes(p).topk * ffn.expert_up.tiles(), ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    hand_over<F>(block, multiply_single(block, ffn.expert_up, row));
  }
}

/// silu(gate) * up of an interleaved tile, times the weight of the expert, as words; see
/// store_gated. `first` is the activation of the tile's first unit. The epilogue warp.
template <Format F, class Weight>
__device__ __forceinline__ void publish_gated(Block& block, int first, unsigned mark,
                                              Weight&& weight) {
  take_over<F>(block, [&](auto&& total) {
    const int unit = block.lane % kStripRows;
    const float scale = normed_scale(block, 0);
    const float gate = total(unit) * scale;
    const float up = total(unit + kStripRows) * scale;
    SingleRow<F>::publish_column(block.p.words.ffn, first + unit,
                                 gate / (1.0F + __expf(-gate)) * up * weight(),
                                 block.lane < kStripRows, mark);
  });
}
template <Format F>
__device__ __forceinline__ void publish_gate_and_up(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  const unsigned mark = marks.within(layer);
  const Share always(block, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < always.count; ++i) {
    publish_gated<F>(block, always.tile(i) * kStripRows, mark, [] { return 1.0F; });
  }
  if (!ffn.moe) return;
  const RoutingTable table(block, 8);
  const int tiles = ffn.expert_up.tiles();
  const Share share(block, dims.topk * tiles, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int d = p.divide.expert_tiles.quotient(share.tile(i));
    // The table stands once the consumers have multiplied one of its tiles.
    publish_gated<F>(
        block, dims.shared_width + d * dims.expert_width + (share.tile(i) - d * tiles) * kStripRows,
        mark, [&] { return table.weight_of[d]; });
  }
}

/// Stages the activations of all parts, which lie one behind the other.
template <Format F>
__device__ __forceinline__ void await_activations(const Block& block, bool moe, unsigned mark) {
  const StepWord* row = block.p.words.ffn;
  if constexpr (kSplitsRow<F>) {
#if CARETD_WARPGROUP_PRODUCTS
    if (moe) {
      await_split_row<kSingle.shared_width, kSingle.topk, kSingle.expert_width>(block, row, mark);
    } else {
      await_split_row<kSingle.dense_width>(block, row, mark);
    }
#endif
  } else if (moe) {
    await_row<kSingle.shared_width + kSingle.topk * kSingle.expert_width>(block, row, mark);
  } else {
    await_row<kSingle.dense_width>(block, row, mark);
  }
}

/// x += down(activations).
template <Format F>
__device__ __forceinline__ void down_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  const Share share(block, ffn.down.tiles());
  if (share.count == 0) return;
  await_activations<F>(block, ffn.moe, marks.within(layer));
  end_operation(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    SingleRow<F> row(block);
    auto sums = multiply_single(block, ffn.down, row);
    if (ffn.moe) {
      row.skip(dims.shared_width);
#pragma unroll 1
      for (int d = 0; d < dims.topk; ++d) {
        row.add_tile(block, ffn.expert_down, sums);
        row.skip(dims.expert_width);
      }
    }
    hand_over<F>(block, sums);
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
