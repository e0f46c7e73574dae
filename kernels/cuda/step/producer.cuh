// The producer warp: walks the same operations as the consumers and streams this block's share of
// the weights through the ring, as far ahead as the ring is deep. It waits for nothing but free
// slots and the choice of experts.
#pragma once

#include "kernels/cuda/step/attention.cuh"
#include "kernels/cuda/step/ffn.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Starts the load of the next stage. Only a few stages are on their way at a time: a longer queue
/// does not raise the bandwidth, and every small load of the consumers would wait behind it.
__device__ __forceinline__ void send(Block& block, const std::byte* from, unsigned bytes) {
  const Divisor& slots = block.p.divide.slots;
  const unsigned lap = slots.quotient(block.stage);
  const unsigned slot = block.stage - lap * slots.divisor;
  if (block.stage >= block.p.window) {
    const unsigned earlier = block.stage - block.p.window;
    mbarrier_wait(shared_address(&block.header->full[slots.remainder(earlier)]),
                  slots.quotient(earlier) & 1U);
  }
  mbarrier_wait(shared_address(&block.header->empty[slot]), (lap & 1U) ^ 1U);
  if (block.lane == 0) {
    *static_cast<volatile unsigned*>(&block.header->issued[slot]) = block.stage;
  }
  bulk_load(slot_address(block, block.stage), from, bytes,
            shared_address(&block.header->full[slot]), block.lane);
  ++block.stage;
}

/// Stages of one packed tile.
__device__ __forceinline__ void send_tile(Block& block, const PackedShape& shape,
                                          const std::byte* matrix, int tile) {
  const std::byte* from = matrix + tile * shape.tile_bytes();
#pragma unroll 1
  for (int chunk = 0; chunk < shape.chunks(); ++chunk) {
    send(block, from + shape.chunk_offset(chunk), shape.chunk_bytes(chunk));
  }
}

/// The tiles of an operation in the order in which the teams multiply them; address(tile) is where
/// a tile begins.
template <class Address>
__device__ __forceinline__ void send_groups(Block& block, const PackedShape& shape,
                                            const Share& share, Address&& address) {
#pragma unroll 1
  for (int group = 0; group < share.count; group += kStepTeams) {
    const int tiles = share.group_size(group);
#pragma unroll 1
    for (int chunk = 0; chunk < shape.chunks(); ++chunk) {
#pragma unroll 1
      for (int i = 0; i < tiles; ++i) {
        send(block, address(share.tile(group + i)) + shape.chunk_offset(chunk),
             shape.chunk_bytes(chunk));
      }
    }
  }
}

__device__ __forceinline__ void send_tiles(Block& block, const PackedShape& shape,
                                           const std::byte* matrix) {
  send_groups(block, shape, Share(block, shape.tiles()),
              [&](int tile) { return matrix + tile * shape.tile_bytes(); });
}

/// Asks for the block's share of a matrix to be brought into L2, within `budget` bytes.
__device__ __forceinline__ void prefetch_tiles(const Block& block, const PackedShape& shape,
                                               const std::byte* matrix, unsigned& budget) {
  const Share share(block, shape.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const auto bytes = static_cast<unsigned>(shape.tile_bytes());
    if (bytes > budget) return;
    prefetch_l2(matrix + share.tile(i) * shape.tile_bytes(), bytes, block.lane);
    budget -= bytes;
  }
}

/// Geometry and place of a layer's attention weights.
struct AttentionWeightsOf {
  PackedShape first;
  PackedShape q_b;
  PackedShape absorb;  ///< of one head
  PackedShape value;   ///< of one head
  PackedShape out;
  const std::byte* first_data;
  const std::byte* q_b_data;
  const std::byte* absorb_data;
  const std::byte* value_data;
  const std::byte* out_data;

  __device__ AttentionWeightsOf(const StepParams& p, Format format, int layer) {
    const StepDims& dims = sizes(p);
    const int q_rows = dims.q_rank > 0 ? dims.q_rank : dims.q_width();
    first = PackedShape{format, q_rows + dims.kv_width(), dims.hidden};
    q_b = PackedShape{format, dims.q_width(), dims.q_rank};
    absorb = PackedShape{Format::bf16, dims.kv_rank, dims.nope};
    value = PackedShape{Format::bf16, dims.v, dims.kv_rank};
    out = PackedShape{format, dims.hidden, dims.heads * dims.v};
    first_data = p.weights.first + layer * first.bytes();
    q_b_data = p.weights.q_b + layer * q_b.bytes();
    absorb_data = p.weights.absorb + layer * dims.heads * absorb.bytes();
    value_data = p.weights.value + layer * dims.heads * value.bytes();
    out_data = p.weights.out + layer * out.bytes();
  }
};

/// Asks for what follows the first projection while attention keeps the consumers busy.
__device__ __forceinline__ void prefetch_attention(const Block& block, Format format, int layer) {
  unsigned budget = block.p.prefetch_bytes;
  const FfnWeights ffn(block.p, format, layer);
  const AttentionWeightsOf weights(block.p, format, layer);
  prefetch_tiles(block, weights.out, weights.out_data, budget);
  prefetch_tiles(block, ffn.up, ffn.always_up, budget);
}

__device__ __forceinline__ void send_attention(Block& block, Format format, int layer) {
  const StepDims& dims = sizes(block.p);
  const AttentionWeightsOf weights(block.p, format, layer);
  send_tiles(block, weights.first, weights.first_data);
  prefetch_attention(block, format, layer);
  if (dims.q_rank > 0) send_tiles(block, weights.q_b, weights.q_b_data);
  const Share absorb(block, dims.heads * dims.kv_rank / kAbsorbRows);
  const std::int64_t stage_bytes = weights.absorb.tile_bytes() * (kAbsorbRows / kTileRows);
#pragma unroll 1
  for (int i = 0; i < absorb.count; ++i) {
    send(block, weights.absorb_data + absorb.tile(i) * stage_bytes, stage_bytes);
  }
  const Share value(block, dims.heads * weights.value.tiles());
#pragma unroll 1
  for (int i = 0; i < value.count; ++i) {
    send_tile(block, weights.value, weights.value_data, value.tile(i));
  }
  const Share out(block, weights.out.tiles());
#pragma unroll 1
  for (int i = 0; i < out.count; ++i) send_tile(block, weights.out, weights.out_data, out.tile(i));
}

/// While the choice of experts is awaited, the memory pipe has room for what is known already.
__device__ __forceinline__ void prefetch_beyond_routing(const Block& block, Format format,
                                                        int layer, const FfnWeights& ffn) {
  unsigned budget = block.p.prefetch_bytes;
  prefetch_tiles(block, ffn.down, ffn.always_down, budget);
  if (layer + 1 < block.p.last_layer) {
    const AttentionWeightsOf next(block.p, format, layer + 1);
    prefetch_tiles(block, next.first, next.first_data, budget);
  }
}

template <Format F, int NT>
__device__ __forceinline__ void send_ffn(Block& block, int layer) {
  const FfnWeights ffn(block.p, F, layer);
  send_tiles(block, ffn.up, ffn.always_up);
  const RoutingTable table(block, NT * 8);
  int distinct = 0;
  if (ffn.moe) {
    prefetch_beyond_routing(block, F, layer, ffn);
    distinct = await_routing(block, table, layer);
    const int tiles = ffn.expert_up.tiles();
    const Share share(block, distinct * tiles, ffn.up.tiles());
    send_groups(block, ffn.expert_up, share, [&](int tile) {
      const int d = block.p.divide.expert_tiles.quotient(tile);
      return ffn.experts_up + table.expert[d] * ffn.expert_up.bytes() +
             (tile - d * tiles) * ffn.expert_up.tile_bytes();
    });
  }
  const Share share(block, ffn.down.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    send_tile(block, ffn.down, ffn.always_down, share.tile(i));
#pragma unroll 1
    for (int d = 0; d < distinct; ++d) {
      send_tile(block, ffn.expert_down,
                ffn.experts_down + table.expert[d] * ffn.expert_down.bytes(), share.tile(i));
    }
  }
}

template <Format F, int NT>
__device__ __forceinline__ void produce(Block& block) {
#pragma unroll 1
  for (int layer = block.p.first_layer; layer < block.p.last_layer; ++layer) {
    send_attention(block, F, layer);
    send_ffn<F, NT>(block, layer);
  }
  if (block.p.batch.outputs > 0) {
    const StepDims& dims = sizes(block.p);
    send_tiles(block, PackedShape{Format::bf16, dims.vocab, dims.hidden}, block.p.weights.head);
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
