// The feed-forward half of a layer for a step of few tokens; see single_attention.cuh.
#pragma once

#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/single_attention.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// A tile of gate and up rows: its first unit's place in the activations, and which of the token's
/// experts it belongs to, or none for the part that every token uses.
struct GatedTile {
  int first;
  int expert;
};

/// Calls visit(shape, tile) for the block's tiles in their order.
template <class Visit>
__device__ __forceinline__ void for_gated_tiles(const Block& block, const FfnWeights& ffn,
                                                Visit&& visit) {
  const StepDims& dims = sizes(block.p);
  const Share always(block, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < always.count; ++i) {
    visit(ffn.up, GatedTile{always.tile(i) * kStripRows, -1});
  }
  if (!ffn.moe) return;
  const int tiles = ffn.expert_up.tiles();
  const Share share(block, dims.topk * tiles, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int d = block.p.divide.expert_tiles.quotient(share.tile(i));
    const int first =
        dims.shared_width + d * dims.expert_width + (share.tile(i) - d * tiles) * kStripRows;
    visit(ffn.expert_up, GatedTile{first, d});
  }
}

/// silu(gate) * up of an interleaved tile, times the weight of its expert, as words; see
/// store_gated. The warp that finishes the tile.
template <Format F, class Total>
__device__ __forceinline__ void publish_gated(const Block& block, const GatedTile& tile,
                                              Total&& total, unsigned mark) {
  float weight = 1.0F;
  if (tile.expert >= 0) {
    mbarrier_wait(shared_address(&block.header->routing_ready), block.moe_layers & 1U);
    weight = RoutingTable(block, 8).weight_of[tile.expert];
  }
  const int unit = block.lane % kStripRows;
  const float scale = normed_scale(block, 0);
  const float gate = total(unit) * scale;
  const float up = total(unit + kStripRows) * scale;
  SingleRow<F>::publish_column(block.p.words.ffn, tile.first + unit,
                               gate / (1.0F + __expf(-gate)) * up * weight, block.lane < kStripRows,
                               mark);
}

template <Format F>
__device__ __forceinline__ void gate_and_up_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  Columns norm;
  norm.load(p.weights.ffn_norm + static_cast<std::int64_t>(layer) * sizes(p).hidden);
  await_norm<F>(
      block, norm, marks.x_between(layer), [](const TokenColumns&) {},
      [&] {
        if (ffn.moe) mbarrier_arrive(shared_address(&block.header->scale_ready));
      });
  if constexpr (kTokenLimit > 1) {
    // Several activation rows as words would be too much for the L2.
    gate_and_up<F, 1>(block, layer);
    grid_barrier(block);
    return;
  }
  const SingleRow<F> row(block);
  for_gated_tiles(block, ffn, [&](const PackedShape& shape, const GatedTile& tile) {
    const auto sums = multiply_single(block, shape, row);
    if constexpr (kSplitsRow<F>) {
      hand_over<F>(block, sums);
    } else {
      finish_single<F>(block, sums, [&](auto&& total) {
        publish_gated<F>(block, tile, total, marks.within(layer));
      });
    }
  });
  // The next operation overwrites the row, which others may still multiply with: who hands a tile
  // over does not wait for them.
  if constexpr (kSplitsRow<F>) consumer_sync();
  if (ffn.moe) ++block.moe_layers;
}

/// What the epilogue warp does in a step, where there is one.
template <Format F>
__device__ __forceinline__ void finish_gate_and_up(Block& block, const Marks& marks) {
#pragma unroll 1
  for (int layer = 0; layer < block.p.last_layer; ++layer) {
    const FfnWeights ffn(block.p, F, layer);
    for_gated_tiles(block, ffn, [&](const PackedShape&, const GatedTile& tile) {
      take_over<F>(
          block, [&](auto&& total) { publish_gated<F>(block, tile, total, marks.within(layer)); });
    });
    if (ffn.moe) ++block.moe_layers;
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

/// An awaited residual as down() adds to it.
template <Format F>
struct DownResidual {
  AwaitedResidual residual;
  unsigned mark;

  template <int NT>
  __device__ __forceinline__ void add(Block& block, const float (&acc)[NT][4]) const {
    typename SingleRow<F>::Sums sums;
#pragma unroll
    for (int i = 0; i < 4; ++i) sums.acc[0][i] = acc[0][i];
    residual.template add<F>(block, sums, mark);
  }
};

/// x += down(activations).
template <Format F>
__device__ __forceinline__ void down_single(Block& block, int layer, const Marks& marks) {
  if constexpr (kTokenLimit > 1) {
    down<F, 1>(block, layer, [&](int tile) {
      return DownResidual<F>{AwaitedResidual(block, tile, marks.x_between(layer)),
                             marks.x_before(layer + 1)};
    });
    return;
  }
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  const Share share(block, ffn.down.tiles());
  if (share.count == 0) return;
  await_activations<F>(block, ffn.moe, marks.within(layer));
  end_operation(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const AwaitedResidual residual(block, share.tile(i), marks.x_between(layer));
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
    residual.template add<F>(block, sums, marks.x_before(layer + 1));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
