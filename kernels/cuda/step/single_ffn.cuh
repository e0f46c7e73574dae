// The feed-forward half of a layer for a step of few tokens; see single_attention.cuh.
#pragma once

#include "kernels/cuda/step/ffn.cuh"
#include "kernels/cuda/step/single_attention.cuh"
#include "kernels/cuda/step/single_staging.cuh"

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
      [&] { mbarrier_arrive(shared_address(&block.header->scale_ready)); });
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

/// A residual as down() adds to it.
template <Format F>
struct DownResidual {
  AskedResidual residual;
  unsigned mark;

  template <int NT>
  __device__ __forceinline__ void add(Block& block, const float (&acc)[NT][4]) const {
    typename SingleRow<F>::Sums sums;
#pragma unroll
    for (int i = 0; i < 4; ++i) sums.acc[0][i] = acc[0][i];
    residual.template add<F>(block, sums, mark);
  }
};

/// What down waits for before it begins: a few of the experts, or all activations.
inline constexpr int kFirstPart = 3;
template <Format F>
__device__ __forceinline__ void await_activations(Block& block, bool moe, int layer,
                                                  unsigned mark) {
  if constexpr (kStagesApart<F>) {
    await_part(block, layer, moe ? kFirstPart : 0);
  } else if (moe) {
    constexpr int kColumns = kSingle.shared_width + kSingle.topk * kSingle.expert_width;
    await_row<F, kColumns>(block, block.p.words.ffn, mark, kSingle.hidden);
  } else {
    await_row<F, kSingle.dense_width>(block, block.p.words.ffn, mark, kSingle.hidden);
  }
  end_operation(block);
}

/// x += down(activations).
template <Format F>
__device__ __forceinline__ void down_single(Block& block, int layer, const Marks& marks) {
  if constexpr (kTokenLimit > 1) {
    down<F, 1>(block, layer, [&](int tile) {
      return DownResidual<F>{AskedResidual(block, tile, marks.x_between(layer)),
                             marks.x_before(layer + 1)};
    });
    return;
  }
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const FfnWeights ffn(p, F, layer);
  const Share share(block, ffn.down.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const AskedResidual residual(block, share.tile(i), marks.x_between(layer));
    if (i == 0) await_activations<F>(block, ffn.moe, layer, marks.within(layer));
    SingleRow<F> row(block);
    row.skip(dims.hidden);
    typename SingleRow<F>::Sums sums;
    const int always = ffn.down.cols;
    const int early = ffn.moe && i == 0 ? min(p.shared.early_slots * chunk_columns(F), always) : 0;
    if (early > 0) {
      const RingPlace ring = block.next;
      block.next = block.early_place(dims.moe_index(layer));
      row.add_tile(block, PackedShape{F, dims.hidden, early}, sums);
      block.next = ring;
      row.skip(early);
    }
    if (early < always) row.add_tile(block, PackedShape{F, dims.hidden, always - early}, sums);
    row.skip(always - early);
    if (ffn.moe) {
#pragma unroll 1
      for (int part = 1; part <= dims.topk; ++part) {
        if (kStagesApart<F> && i == 0 && part == kFirstPart + 1)
          await_part(block, layer, dims.topk);
        row.template add_part<kSingle.expert_width>(block, sums);
        row.skip(dims.expert_width);
      }
    }
    residual.template add<F>(block, sums, marks.x_before(layer + 1));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
