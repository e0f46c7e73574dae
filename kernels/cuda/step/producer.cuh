// The producer warp: walks the same operations as the consumers and streams this block's share of
// the weights through the ring, as far ahead as the ring is deep. It waits for nothing but free
// slots and the choice of experts.
#pragma once

#include "kernels/cuda/step/attention.cuh"
#include "kernels/cuda/step/ffn.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// How many stages are on their way at a time. A longer queue does not raise the bandwidth, and
/// what the blocks hand on to one another waits behind it. Only what nobody could ask for earlier,
/// the chosen experts, is worth a longer one (measured: docs/performance.md).
template <Format F>
struct Window {
  static constexpr unsigned kAhead = 2;
  static constexpr unsigned kRoutedUp = F == Format::bf16 ? 5 : 3;
  static constexpr unsigned kDown = 3;
  static constexpr unsigned kHead = 3;
};

struct Sender {
  Block& block;
  unsigned window;         ///< stages on their way at most
  RingPlace earlier = {};  ///< the first of them
  unsigned on_their_way = 0;

  /// Waits until the next stage may be loaded and returns its slot's address.
  __device__ __forceinline__ std::uint32_t claim() {
#pragma unroll 1
    while (on_their_way >= window) {
      mbarrier_wait(shared_address(&block.header->full[earlier.slot]), earlier.parity);
      earlier.advance(block.p.shared.slots);
      --on_their_way;
    }
    ++on_their_way;
    mbarrier_wait(shared_address(&block.header->empty[block.next.slot]), block.next.parity ^ 1U);
    return block.slot_address(block.next.slot);
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t full() const {
    return shared_address(&block.header->full[block.next.slot]);
  }
  __device__ __forceinline__ void send(const std::byte* from, unsigned bytes) {
    const std::uint32_t to = claim();
    bulk_load(to, from, bytes, full(), block.lane);
    block.next.advance(block.p.shared.slots);
  }
  /// The stages [begin, end) of one packed tile.
  __device__ __forceinline__ void send_chunks(const PackedShape& shape, const std::byte* tile,
                                              int begin, int end) {
#pragma unroll 1
    for (int chunk = begin; chunk < end; ++chunk) {
      send(tile + shape.chunk_offset(chunk), shape.chunk_bytes(chunk));
    }
  }
  __device__ __forceinline__ void send_tile(const PackedShape& shape, const std::byte* tile) {
    send_chunks(shape, tile, 0, shape.chunks());
  }
  __device__ __forceinline__ void send_tiles(const PackedShape& shape, const std::byte* matrix) {
    const Share share(block, shape.tiles());
#pragma unroll 1
    for (int i = 0; i < share.count; ++i) {
      send_tile(shape, matrix + share.tile(i) * shape.tile_bytes());
    }
  }
};

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

/// The KV rows of the block's items, as far ahead as any weights. Rows of earlier steps are there
/// already; in the place of those that this step writes comes whatever lies there, and the
/// consumers fetch them once they are written (fetch_fresh_rows).
__device__ __forceinline__ void send_kv(Sender& sender, int layer) {
  const Block& block = sender.block;
  const StepParams& p = block.p;
  const int row_bytes = sizes(p).kv_width() * 2;
  const int pitch = kv_pitch(sizes(p));
#pragma unroll 1
  for (int i = block.index; i < p.batch.items; i += block.blocks) {
    const AttentionItem item = i == block.index ? block.header->item : p.batch.item[i];
    const StepRun& run = block.header->run[item.run];
#pragma unroll 1
    for (int begin = item.begin; begin < item.end; begin += kAttentionTile) {
      const int page = p.batch.pages[run.first_page + begin / kPageRows];
#pragma unroll 1
      for (int row = 0; row < kAttentionTile; row += kStageRows) {
        const std::uint32_t to = sender.claim();
        bulk_load_rows(
            to, pitch,
            reinterpret_cast<const std::byte*>(page_row(p, page, layer, row_in_page(begin) + row)),
            kStageRows, row_bytes, sender.full(), block.lane);
        sender.block.next.advance(p.shared.slots);
      }
    }
  }
}

__device__ __forceinline__ void send_attention(Sender& sender, Format format, int layer) {
  const Block& block = sender.block;
  const StepDims& dims = sizes(block.p);
  const AttentionWeightsOf weights(block.p, format, layer);
  sender.send_tiles(weights.first, weights.first_data);
  if (dims.q_rank > 0) sender.send_tiles(weights.q_b, weights.q_b_data);
  const Share absorb(block, dims.heads * dims.kv_rank / kAbsorbRows);
  const std::int64_t stage_bytes = weights.absorb.tile_bytes() * kAbsorbTiles;
#pragma unroll 1
  for (int i = 0; i < absorb.count; ++i) {
    sender.send(weights.absorb_data + absorb.tile(i) * stage_bytes, stage_bytes);
  }
  send_kv(sender, layer);
  const Share value(block, dims.heads * weights.value.tiles());
#pragma unroll 1
  for (int i = 0; i < value.count; ++i) {
    sender.send_tile(weights.value,
                     weights.value_data + value.tile(i) * weights.value.tile_bytes());
  }
  sender.send_tiles(weights.out, weights.out_data);
}

/// `routes` knows the experts: await(block, layer) waits for the choice, then there are count() of
/// them, of which expert(d) is the next to be loaded.
template <Format F, class Routes>
__device__ __forceinline__ void send_ffn(Sender& sender, int layer, Routes& routes) {
  Block& block = sender.block;
  const FfnWeights ffn(block.p, F, layer);
  sender.window = Window<F>::kAhead;
  const Share share_of_down(block, ffn.down.tiles());
  // What is loaded before the experts are known need not be loaded behind them. The ring holds it
  // in the order of its use, which is later; so it has slots of its own.
  const bool apart = kTokenLimit == 1 && ffn.moe && share_of_down.count > 0;
  const int early = apart ? block.p.shared.early_slots : 0;
  if (early > 0) {
    const RingPlace ring = block.next;
    block.next = block.early_place(sizes(block.p).moe_index(layer));
    Sender{block, 1, block.next}.send_chunks(
        ffn.down, ffn.always_down + share_of_down.tile(0) * ffn.down.tile_bytes(), 0, early);
    block.next = ring;
  }
  sender.send_tiles(ffn.up, ffn.always_up);
  int distinct = 0;
  if (ffn.moe) {
    routes.await(block, layer);
    sender.window = Window<F>::kRoutedUp;
    distinct = routes.count();
    const int tiles = ffn.expert_up.tiles();
    const Share share(block, distinct * tiles, ffn.up.tiles());
#pragma unroll 1
    for (int i = 0; i < share.count; ++i) {
      const int d = block.p.divide.expert_tiles.quotient(share.tile(i));
      sender.send_tile(ffn.expert_up, ffn.experts_up + routes.expert(d) * ffn.expert_up.bytes() +
                                          (share.tile(i) - d * tiles) * ffn.expert_up.tile_bytes());
    }
  }
  sender.window = Window<F>::kDown;
#pragma unroll 1
  for (int i = 0; i < share_of_down.count; ++i) {
    sender.send_chunks(ffn.down, ffn.always_down + share_of_down.tile(i) * ffn.down.tile_bytes(),
                       i == 0 ? early : 0, ffn.down.chunks());
#pragma unroll 1
    for (int d = 0; d < distinct; ++d) {
      sender.send_tile(ffn.expert_down, ffn.experts_down +
                                            routes.expert(d) * ffn.expert_down.bytes() +
                                            share_of_down.tile(i) * ffn.expert_down.tile_bytes());
    }
  }
}

template <Format F, class Routes>
__device__ __forceinline__ void produce(Block& block, Routes&& routes) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  Sender sender{block, Window<F>::kAhead};
#pragma unroll 1
  for (int layer = p.first_layer; layer < p.last_layer; ++layer) {
    sender.window = Window<F>::kAhead;
    send_attention(sender, F, layer);
    send_ffn<F>(sender, layer, routes);
  }
  if (p.batch.outputs > 0) {
    sender.window = Window<F>::kHead;
    sender.send_tiles(PackedShape{Format::bf16, dims.vocab, dims.hidden}, p.weights.head);
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
