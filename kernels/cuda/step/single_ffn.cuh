// The feed-forward half of a layer for a step of one token; see single_attention.cuh.
#pragma once

#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/single_attention.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

template <Format F>
__device__ __forceinline__ void gate_and_up_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  Columns norm;
  norm.load(p.weights.ffn_norm + static_cast<std::int64_t>(layer) * sizes(p).hidden);
  await_norm<F>(
      block, norm, marks.x_between(layer), [](const Columns&) {},
      [&] {
        if (ffn.moe) mbarrier_arrive(shared_address(&block.header->scale_ready));
      });
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
