// The feed-forward part of a layer: gate and up with SiLU, then down, for the dense or shared
// expert and the routed experts, which are read straight from the routing table: no sorting, no
// padding. Each distinct expert is read once, whatever the number of tokens that chose it.
#pragma once

#include "kernels/cuda/step/norm.cuh"
#include "kernels/cuda/step/routing.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The feed-forward weights of one layer. Without routed experts `always` is the dense MLP.
struct FfnWeights {
  PackedShape up;  ///< of the part every token uses, interleaved gate and up rows
  PackedShape down;
  PackedShape expert_up;
  PackedShape expert_down;
  const std::byte* always_up;
  const std::byte* always_down;
  const std::byte* experts_up;
  const std::byte* experts_down;
  bool moe;

  __device__ FfnWeights(const StepParams& p, Format format, int layer) {
    const StepDims& dims = sizes(p);
    moe = dims.is_moe(layer);
    const int width = moe ? dims.shared_width : dims.dense_width;
    up = PackedShape{format, 2 * width, dims.hidden};
    down = PackedShape{format, dims.hidden, width};
    expert_up = PackedShape{format, 2 * dims.expert_width, dims.hidden};
    expert_down = PackedShape{format, dims.hidden, dims.expert_width};
    const std::int64_t index = moe ? dims.moe_index(layer) : dims.dense_index(layer);
    always_up = (moe ? p.weights.shared_up : p.weights.dense_up) + index * up.bytes();
    always_down = (moe ? p.weights.shared_down : p.weights.dense_down) + index * down.bytes();
    experts_up = p.weights.expert_up + index * dims.experts * expert_up.bytes();
    experts_down = p.weights.expert_down + index * dims.experts * expert_down.bytes();
  }
};

__device__ __forceinline__ __nv_bfloat16* ffn_row(const StepParams& p, int token) {
  return p.buffers.ffn + static_cast<std::int64_t>(token) * sizes(p).ffn_width();
}

/// silu(gate) * up of the eight units of an interleaved tile, times the weight of the expert, into
/// the tokens' activation rows. target(token) gives a row's first element of this expert, or null,
/// and the weight.
struct GatedTarget {
  __nv_bfloat16* row;
  float weight;
};
template <Format F, int NT, class Target>
__device__ __forceinline__ void store_gated(Block& block, int tile, const float (&acc)[NT][4],
                                            Target&& target) {
  finish_tile<NT>(block, acc, [&](const TileSums& sums, int first, int tokens) {
    for_results(block, kStripRows, tokens, [&](int unit, int t) {
      const GatedTarget to = target(first + t);
      if (to.row == nullptr) return;
      const float scale = normed_scale(block, first + t);
      const float gate = sums.sum(unit, t) * scale;
      const float up = sums.sum(unit + kStripRows, t) * scale;
      store_activation<F>(to.row, tile * kStripRows + unit,
                          gate / (1.0F + __expf(-gate)) * up * to.weight);
    });
  });
}

/// Gate and up of the staged activations; in a MoE layer waits for the routing in between.
template <Format F, int NT>
__device__ __forceinline__ void gate_and_up(Block& block, int layer) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  const Operand<NT> operand = staged_operand<NT>(block);
  const Share always(block, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < always.count; ++i) {
    float acc[NT][4];
    multiply_tile<F, NT>(block, ffn.up, operand, acc);
    store_gated<F, NT>(block, always.tile(i), acc, [&](int token) {
      return GatedTarget{ffn_row(p, token), 1.0F};
    });
  }
  if (!ffn.moe) return;
  mbarrier_wait(shared_address(&block.header->routing_ready), block.moe_layers++ & 1U);
  const RoutingTable table(block, NT * 8);
  const int tiles = ffn.expert_up.tiles();
  const Share share(block, *table.distinct * tiles, ffn.up.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    float acc[NT][4];
    multiply_tile<F, NT>(block, ffn.expert_up, operand, acc);
    const int d = p.divide.expert_tiles.quotient(share.tile(i));
    store_gated<F, NT>(block, share.tile(i) - d * tiles, acc, [&](int token) {
      const std::uint8_t slot = table.slot(d, token);
      if (slot == RoutingTable::kNotRouted) return GatedTarget{nullptr, 0.0F};
      return GatedTarget{ffn_row(p, token) + sizes(p).shared_width + slot * sizes(p).expert_width,
                         table.weight_of[token * kMaxTopK + slot]};
    });
  }
}

/// The chunks of one output tile: first those of the part every token uses, then expert by expert.
struct DownStages {
  Divisor divide;
  int always;
  int per_expert;
  int count;

  __device__ DownStages(const Divisor& chunks, const FfnWeights& ffn, int distinct)
      : divide(chunks),
        always(ffn.down.chunks()),
        per_expert(ffn.expert_down.chunks()),
        count(always + distinct * per_expert) {}
  /// -1 is the part every token uses.
  [[nodiscard]] __device__ int expert(int stage) const {
    return stage < always ? -1 : static_cast<int>(divide.quotient(stage - always));
  }
  [[nodiscard]] __device__ int chunk(int stage) const {
    return stage < always ? stage : static_cast<int>(divide.remainder(stage - always));
  }
};

/// The feed-forward activations of the step's tokens, as an operand.
struct FfnRows {
  const __nv_bfloat16* base;
  int pitch;

  /// Copies a step's only row into shared memory; more of them would not fit in general.
  __device__ explicit FfnRows(const Block& block)
      : base(block.p.buffers.ffn), pitch(sizes(block.p).ffn_width()) {
    if (block.tokens() > 1 || pitch * 2 > block.p.shared.activation_bytes) return;
    const std::uint32_t to = shared_address(block.activations());
#pragma unroll 4
    for (int i = threadIdx.x; i < pitch / 8; i += kStepConsumers) {
      copy_async_16(to + i * 16, base + i * 8);
    }
    copy_async_commit();
    copy_async_wait<0>();
    consumer_sync();
    base = reinterpret_cast<const __nv_bfloat16*>(block.activations());
  }
  /// Rows of a lane's tokens in distinct expert d, or (-1) in the part every token uses. Tokens
  /// that did not choose the expert count as zeros.
  template <int NT>
  [[nodiscard]] __device__ __forceinline__ Operand<NT> operand(const Block& block,
                                                               const RoutingTable& table,
                                                               int d) const {
    const StepDims& dims = sizes(block.p);
    Operand<NT> result;
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
      const int token = min(nt * 8 + block.lane / 4, block.tokens() - 1);
      const int slot = d < 0 ? 0 : block.tokens() == 1 ? d : table.slot(d, token);
      const int column = d < 0 ? 0 : dims.shared_width + slot * dims.expert_width;
      result.row[nt] = slot == RoutingTable::kNotRouted
                           ? nullptr
                           : base + token * pitch + column + block.lane % 4 * 8;
    }
    return result;
  }
};

/// The element of the residual stream that a thread will add to when its tile is complete, asked
/// for in good time.
struct Residual {
  float* x;
  int hidden;
  float value = 0.0F;

  __device__ Residual(const Block& block, int tile)
      : x(block.p.buffers.x + tile * kTileRows), hidden(sizes(block.p).hidden) {
    for_results(block, kTileRows, min(8, block.tokens()), [&](int row, int token) {
      value = x[static_cast<std::int64_t>(token) * hidden + row];
    });
  }
  template <int NT>
  __device__ __forceinline__ void add(Block& block, const float (&acc)[NT][4]) const {
    finish_tile<NT>(block, acc, [&](const TileSums& sums, int first, int tokens) {
      for_results(block, kTileRows, tokens, [&](int row, int t) {
        float& to = x[static_cast<std::int64_t>(first + t) * hidden + row];
        to = (first == 0 ? value : to) + sums.sum(row, t);
      });
    });
  }
};
static_assert(8 * kTileRows <= kStepConsumers, "a thread has at most one result of eight tokens");

/// x += down(activations), a tile of 16 hidden rows a block, over all experts, whose weights are in
/// the activations already. residual_of(tile) gives what adds to x.
template <Format F, int NT, class ResidualOf>
__device__ __forceinline__ void down(Block& block, int layer, ResidualOf&& residual_of) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  const RoutingTable table(block, NT * 8);
  const DownStages stages(p.divide.expert_chunks, ffn, ffn.moe ? *table.distinct : 0);
  const Share share(block, ffn.down.tiles());
  const FfnRows rows(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const auto residual = residual_of(share.tile(i));
    float acc[NT][4];
    clear<NT>(acc);
    multiply_stages<F, NT>(
        block, stages.count,
        [&](int s) {
          const int d = stages.expert(s);
          const int chunk = stages.chunk(s);
          return StageColumns<NT>{rows.operand<NT>(block, table, d), chunk * chunk_columns(F),
                                  (d < 0 ? ffn.down : ffn.expert_down).chunk_width(chunk)};
        },
        acc);
    residual.template add<NT>(block, acc);
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
