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

/// silu(gate) * up of the eight units of an interleaved tile, into the tokens' activation rows.
/// wanted(token) gives the row's first element of this expert, or null.
template <Format F, int NT, class Row>
__device__ __forceinline__ void store_gated(const Block& block, int tile, const float (&acc)[NT][4],
                                            Row&& row_of) {
  const int unit = tile * 8 + block.lane / 4;
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int token = nt * 8 + block.lane % 4 * 2 + i;
      if (token >= block.tokens()) continue;
      __nv_bfloat16* row = row_of(token);
      if (row == nullptr) continue;
      const float gate = acc[nt][i];
      store_activation<F>(row, unit, gate / (1.0F + expf(-gate)) * acc[nt][i + 2]);
    }
  }
}

__device__ __forceinline__ __nv_bfloat16* ffn_row(const StepParams& p, int token) {
  return p.buffers.ffn + static_cast<std::int64_t>(token) * sizes(p).ffn_width();
}

/// Gate and up of the staged activations; in a MoE layer waits for the routing in between.
template <Format F, int NT>
__device__ __forceinline__ void gate_and_up(Block& block, int layer) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  const Operand<NT> operand = staged_operand<NT>(block);
  multiply_tiles<F, NT>(block, ffn.up, Share(block, ffn.up.tiles()), operand,
                        [&](int tile, const float(&acc)[NT][4]) {
                          store_gated<F, NT>(block, tile, acc,
                                             [&](int token) { return ffn_row(p, token); });
                        });
  if (!ffn.moe) return;
  mbarrier_wait(shared_address(&block.header->routing_ready), block.moe_layers++ & 1U);
  const RoutingTable table(block, NT * 8);
  const int tiles = ffn.expert_up.tiles();
  multiply_tiles<F, NT>(
      block, ffn.expert_up, Share(block, *table.distinct * tiles, ffn.up.tiles()), operand,
      [&](int tile, const float(&acc)[NT][4]) {
        const int d = p.divide.expert_tiles.quotient(tile);
        store_gated<F, NT>(block, tile - d * tiles, acc, [&](int token) -> __nv_bfloat16* {
          const std::uint8_t slot = table.slot(d, token);
          if (slot == RoutingTable::kNotRouted) return nullptr;
          return ffn_row(p, token) + sizes(p).shared_width + slot * sizes(p).expert_width;
        });
      });
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

/// Rows of a lane's tokens in distinct expert d; tokens that did not choose it count as zeros.
template <int NT>
__device__ __forceinline__ Operand<NT> expert_operand(const Block& block, const RoutingTable& table,
                                                      int d) {
  const StepDims& dims = sizes(block.p);
  Operand<NT> operand;
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
    const int token = nt * 8 + block.lane / 4;
    const std::uint8_t slot =
        token < block.tokens() ? table.slot(d, token) : RoutingTable::kNotRouted;
    operand.row[nt] = slot == RoutingTable::kNotRouted
                          ? nullptr
                          : ffn_row(block.p, token) + dims.shared_width + slot * dims.expert_width +
                                block.lane % 4 * 8;
  }
  return operand;
}

/// x += down(activations), a tile of 16 hidden rows a block, over all experts.
template <Format F, int NT>
__device__ __forceinline__ void down(Block& block, int layer) {
  const StepParams& p = block.p;
  const FfnWeights ffn(p, F, layer);
  const RoutingTable table(block, NT * 8);
  const DownStages stages(p.divide.expert_chunks, ffn, ffn.moe ? *table.distinct : 0);
  const Share share(block, ffn.down.tiles());
  const Operand<NT> always = operand_rows<NT>(block, p.buffers.ffn, sizes(p).ffn_width());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    float acc[NT][4];
    clear<NT>(acc);
#pragma unroll 1
    for (int s = block.team(); s < stages.count; s += kStepTeams) {
      const int d = stages.expert(s);
      const int chunk = stages.chunk(s);
      const unsigned stage = block.stage + s;
      const PackedShape& shape = d < 0 ? ffn.down : ffn.expert_down;
      float part[NT][4];
      clear<NT>(part);
      multiply_chunk<F, NT>(
          block, slot_address(block, stage), shape.chunk_width(chunk), shape.cols % 128 == 0,
          block.team_warp(), d < 0 ? always : expert_operand<NT>(block, table, d),
          chunk * chunk_columns(F), [&] { wait_full(block, stage); }, part);
      release(block, stage);
#pragma unroll
      for (int nt = 0; nt < NT; ++nt) {
        const int token = nt * 8 + block.lane % 4 * 2;
        const float first = d < 0 ? 1.0F : table.weight(d, token);
        const float second = d < 0 ? 1.0F : table.weight(d, token + 1);
        acc[nt][0] += first * part[nt][0];
        acc[nt][1] += second * part[nt][1];
        acc[nt][2] += first * part[nt][2];
        acc[nt][3] += second * part[nt][3];
      }
    }
    block.stage += stages.count;
    reduce_block<NT>(block, acc, [&](int nt, const float(&sum)[4]) {
      for_results(block, share.tile(i), nt, sum, [&](int row, int token, float value) {
        p.buffers.x[static_cast<std::int64_t>(token) * sizes(p).hidden + row] += value;
      });
    });
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
