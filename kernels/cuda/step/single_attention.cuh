// The attention half of a layer for a step of few tokens, whose operations hand on words instead of
// meeting at grid barriers (words.cuh).
#pragma once

#include "kernels/cuda/step/single_merge.cuh"
#include "kernels/cuda/step/single_routing.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The query heads and the tokens' latents.
template <Format F>
__device__ __forceinline__ void project_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  Columns norm;
  norm.load(p.weights.attention_norm + static_cast<std::int64_t>(layer) * dims.hidden);
  const bool routes = dims.is_moe(layer) && block.index < dims.experts;
  Columns router;
  if (routes) router = normed_router_row(p, layer, block.index);
  await_norm<F>(
      block, norm, marks.x_before(layer),
      [&](const TokenColumns& x) {
        if (!routes) return;
#pragma unroll
        for (int token = 0; token < kTokenLimit; ++token) {
          if (token >= block.tokens()) break;
          const float dot = warp_sum(x.of[token].dot(router));
          if (block.lane == 0) block.header->router_dots[token][block.warp] = dot;
        }
      },
      [] {});
  const PackedShape shape{F, dims.q_width() + dims.kv_width(), dims.hidden};
  const Share share(block, shape.tiles());
  const SingleRow<F> row(block);
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const auto sums = multiply_waiting<F, kSingle.hidden>(block, row);
    finish_rows<F>(block, sums, [&](int of_tile, int token, float sum, bool valid) {
      const int out = share.tile(i) * kTileRows + of_tile;
      const float value = sum * normed_scale(block, token);
      const unsigned mark = marks.within(layer);
      if (out < dims.q_width()) {
        publish_activation<Format::bf16>(p.words.q + token * dims.q_width() / 2, out, value, valid,
                                         mark);
      } else if (valid) {
        publish(p.words.kv + token * dims.kv_width() + out - dims.q_width(), value, mark);
      }
    });
  }
}

/// Rotary part of one head's query; called by one warp.
__device__ __forceinline__ void rotate_single_query(const Block& block, int token, int head,
                                                    unsigned mark) {
  const StepDims& dims = sizes(block.p);
  const int position = block.header->token[token].position;
  const float2* turns =
      block.p.weights.rotary + static_cast<std::int64_t>(position) * (dims.rope / 2);
#pragma unroll 1
  for (int i = block.lane; i < dims.rope / 2; i += 32) {
    const float2 turn = __ldg(turns + i);
    const int at = activation_position(Format::bf16, head * dims.head_dim() + dims.nope + 2 * i);
    const float2 pair =
        unpack_bf16(await_word(block.p.words.q + (token * dims.q_width() + at) / 2, mark));
    publish(block.p.words.query +
                ((token * dims.heads + head) * dims.kv_width() + dims.kv_rank) / 2 + i,
            rotated(pair.x, pair.y, turn), mark);
  }
}

/// Norms and rotates a token's latent and key, writes the row of its page and hands it to the
/// block whose tile it is in; one warp.
__device__ __forceinline__ void write_single_row(const Block& block, int token, int layer,
                                                 unsigned mark) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  constexpr int kPieces = kSingle.kv_rank / 128;
  const int position = block.header->token[token].position;
  const StepRun& run = block.header->run[kTokenLimit == 1 ? 0 : block.header->token[token].run];
  const int page = p.batch.pages[run.first_page + position / kPageRows];
  const StepWord* kv = p.words.kv + token * dims.kv_width();
  StepWord* fresh = p.words.fresh + token * dims.kv_width() / 2;
  auto* out = reinterpret_cast<std::uint32_t*>(page_row(p, page, layer, position % kPageRows));
  const float* norm = p.weights.kv_norm + static_cast<std::int64_t>(layer) * dims.kv_rank;
  const float2* turns = p.weights.rotary + static_cast<std::int64_t>(position) * (dims.rope / 2);
  float4 w[kPieces];
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    w[i] = __ldg(reinterpret_cast<const float4*>(norm + i * 128 + block.lane * 4));
  }
  const auto store = [&](int pair, std::uint32_t value) {
    out[pair] = value;
    publish(fresh + pair, value, mark);
  };
#pragma unroll 1
  for (int i = block.lane; i < dims.rope / 2; i += 32) {
    const float2 turn = __ldg(turns + i);
    const float2 pair = as_floats(await_pair(kv + dims.kv_rank + 2 * i, mark));
    store(dims.kv_rank / 2 + i, rotated(pair.x, pair.y, turn));
  }
  uint2 words[2 * kPieces];
  await_words<2 * kPieces>(mark, words,
                           [&](int i) { return kv + i / 2 * 128 + block.lane * 4 + i % 2 * 2; });
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < 2 * kPieces; ++i) {
    const float2 v = as_floats(words[i]);
    sum += v.x * v.x + v.y * v.y;
  }
  const float scale = rsqrtf(warp_sum(sum) / dims.kv_rank + p.dims.norm_epsilon);
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    const int pair = i * 64 + block.lane * 2;
    const float2 low = as_floats(words[2 * i]);
    const float2 high = as_floats(words[2 * i + 1]);
    store(pair, pack_bf16(low.x * scale * w[i].x, low.y * scale * w[i].y));
    store(pair + 1, pack_bf16(high.x * scale * w[i].z, high.y * scale * w[i].w));
  }
}

/// Absorbed queries, and the work of a warp here and there: see absorb_queries, rotate_and_write.
__device__ __forceinline__ void absorb_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const unsigned mark = marks.within(layer);
  const int warps = block.blocks * kStepConsumerWarps;
#pragma unroll 1
  for (int i = (block.blocks - 1 - block.index) * kStepConsumerWarps + block.warp;
       i < block.tokens() * (dims.heads + 1); i += warps) {
    if (i < block.tokens()) {
      write_single_row(block, i, layer, mark);
    } else {
      const int query = i - block.tokens();
      rotate_single_query(block, query / kSingle.heads, query % kSingle.heads, mark);
    }
  }
  const int stages_per_head = dims.kv_rank / kAbsorbRows;
  const Share share(block, dims.heads * stages_per_head);
  const unsigned tile_bytes = PackedShape{Format::bf16, kAbsorbRows, dims.nope}.tile_bytes();
  const int first = block.warp / kAbsorbTiles * kAbsorbGroups;
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int head = block.p.divide.absorb_stages.quotient(share.tile(i));
    uint4 b[kAbsorbGroups];
    await_operand<kAbsorbGroups>(block, p.words.q + lane_token(block) * dims.q_width() / 2, mark, b,
                                 [&](int g) { return head * dims.head_dim() + (first + g) * 32; });
    if (i == 0) end_operation(block);
    const std::uint32_t tile =
        await_stage(block, block.next) + block.warp % kAbsorbTiles * tile_bytes;
    const std::uint32_t a = fragment_address<Format::bf16>(block, tile, dims.nope);
    float acc[1][4];
    clear<1>(acc);
    unsigned loaded = 0;
#pragma unroll
    for (int g = 0; g < kAbsorbGroups; ++g) {
      const uint4 one[1] = {b[g]};
      loaded ^= multiply_group<Format::bf16, 1>(a + (first + g) * 512, one, acc);
    }
    release(block, loaded);
    const int first_row = (share.tile(i) - head * stages_per_head) * kAbsorbRows;
    finish_tile<1>(block, acc, [&](const TileSums& sums, int /*token*/, int /*tokens*/) {
      const int place = result_place(block);
      const int row = place % kAbsorbRows;
      const int token = place / kAbsorbRows;
      if (token >= block.tokens()) return;
      const float value = sums.sum(row % kTileRows, token, row / kTileRows, kAbsorbTiles);
      const float partner = __shfl_xor_sync(~0U, value, 1);
      if (row % 2 == 0) {
        const int query = token * dims.heads + head;
        publish(p.words.query + (query * dims.kv_width() + first_row + row) / 2,
                pack_bf16(value, partner), mark);
      }
    });
  }
}

/// The queries of an item into shared memory.
__device__ __forceinline__ void await_queries(const Block& block, const AttentionShared& shared,
                                              int first_row, unsigned mark) {
  constexpr int kPairs = kSingle.kv_width() / 4;  // pairs of words in a row
  constexpr int kPieces = kAttentionRows * kPairs / kStepConsumers;
  static_assert(kAttentionRows * kPairs % kStepConsumers == 0);
  const auto pair_of = [](int i) { return i * kStepConsumers + static_cast<int>(threadIdx.x); };
  uint2 words[kPieces];
  await_words<kPieces>(mark, words, [&](int i) {
    return block.p.words.query + (first_row * kPairs + pair_of(i)) * 2;
  });
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    const int row = pair_of(i) / kPairs;
    store_shared(shared.query + row * shared.pitch + (pair_of(i) - row * kPairs) * 8, words[i]);
  }
}
/// The run's own KV rows, which go over what the producer found in their place.
struct FreshRows {
  static constexpr int kPairs = kSingle.kv_width() / 4;
  static_assert(kPairs <= kStepConsumers);
  int pair;               ///< of words in a row: the thread's
  const StepWord* words;  ///< it, of the run's first token
  AskedWords<kTokenLimit> asked;

  /// The row of an only token is asked for at once, to come while the queries are waited for,
  /// whether it is in this item's tiles or not: what a branch skips would have to be there at the
  /// branch's end.
  __device__ __forceinline__ FreshRows(const Block& block, const StepRun& run)
      : pair(min(static_cast<int>(threadIdx.x), kPairs - 1)),
        words(block.p.words.fresh + (run.first_token * kPairs + pair) * 2) {
    if constexpr (kTokenLimit == 1) asked.ask([&](int) { return words; });
  }
  /// Stores those of a tile that begins at a position; false if all are in other tiles.
  __device__ __forceinline__ bool store(const Block& block, const AttentionShared& shared,
                                        const StepRun& run, const KvTile& tile, int begin,
                                        unsigned mark) {
    // Of the run's first token, and those of all in this tile.
    const int first = block.header->token[run.first_token].position - begin;
    const int from = max(first, 0);
    const int end = min(first + (kTokenLimit == 1 ? 1 : run.tokens), kAttentionTile);
    if (from >= end) return false;
    const auto address = [&](int i) {
      return words + (min(from + i, end - 1) - first) * kPairs * 2;
    };
    if constexpr (kTokenLimit > 1) asked.ask(address);
    uint2 value[kTokenLimit];
    asked.await(mark, value, address);
#pragma unroll
    for (int i = 0; i < kTokenLimit; ++i) {
      if (from + i >= end) break;
      // Threads behind the last pair store it once more.
      store_shared(tile.row(from + i, shared.pitch) + pair * 8, value[i]);
    }
    return true;
  }
};

__device__ __forceinline__ void attend_single(Block& block, int layer, const Marks& marks) {
  const StepParams& p = block.p;
  const AttentionShared shared(block);
  const unsigned mark = marks.within(layer);
#pragma unroll 1
  for (int i = block.index; i < p.batch.items; i += block.blocks) {
    const AttentionItem item = i == block.index ? block.header->item : p.batch.item[i];
    const StepRun& run = block.header->run[kTokenLimit == 1 ? 0 : item.run];
    // The rows of an item are the heads of one token.
    const int token = kTokenLimit == 1 ? 0 : run.first_token + item.first_row / kAttentionRows;
    FreshRows fresh(block, run);
    await_queries(block, shared, token * kAttentionRows, mark);
    if (i == block.index) end_operation(block);
    const int seen = block.header->token[token].position + 1;
    int visible[kRowsPerWarp];
#pragma unroll
    for (int& row : visible) row = seen;
    attend_tiles(
        block, shared, item, visible,
        [&](const KvTile& tile, int begin) {
          return fresh.store(block, shared, run, tile, begin, mark);
        },
        [&](const float2(&running)[kRowsPerWarp]) { publish_stats(block, i, running, mark); },
        [&](const float2(&)[kRowsPerWarp], const float(&out)[kMaxColumnTiles][4]) {
          publish_partial(block, i, out, mark);
        });
  }
}

/// sums += the next stage, a whole tile of a head's value half, times the tokens' merged latents,
/// straight from their words.
__device__ __forceinline__ void add_contexts(Block& block, int head, unsigned mark,
                                             SingleRow<Format::bf16>::Sums& sums) {
  constexpr int kGroups = kWarpGroups<Format::bf16>;
  static_assert(kSingle.kv_rank == chunk_columns(Format::bf16));
  uint4 b[kGroups];
  await_operand<kGroups>(
      block,
      block.p.words.context + (lane_token(block) * kSingle.heads + head) * kSingle.kv_rank / 2,
      mark, b, [&](int g) { return group_column<Format::bf16, 1>(block, g); });
  StageOperand<Format::bf16, 1> operand;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) operand.b[g][0] = b[g];
  add_stage<Format::bf16, 1>(block, kSingle.kv_rank, operand, sums.acc);
}

/// The merged latent outputs through kv_b's value half; see expand_values and combine_all.
template <Format F>
__device__ __forceinline__ void expand_single(Block& block, int layer, const Marks& marks) {
  constexpr int kQuarter = kPartialGroups / 4;
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const unsigned mark = marks.within(layer);
  const PackedShape shape{Format::bf16, dims.v, dims.kv_rank};
  const bool separately = kTokenLimit > 1 || p.batch.combine_separately != 0;
  // With many splits or tokens, first quarters of the heads' columns for all, then everyone's
  // tiles.
#pragma unroll 1
  for (int pass = separately ? 0 : 1; pass < 2; ++pass) {
    const bool own = pass == 1;
    const int units = own ? dims.heads * shape.tiles() : block.tokens() * dims.heads * 4;
#pragma unroll 1
    for (int i = block.index; i < units; i += block.blocks) {
      const int token = own ? 0 : i / (kSingle.heads * 4);
      const int head =
          own ? static_cast<int>(p.divide.value_tiles.quotient(i)) : i / 4 % kSingle.heads;
      const auto begins = [&] {
        if (i == block.index) end_operation(block);
      };
      typename SingleRow<Format::bf16>::Sums sums;
      if (own && separately) {
        if constexpr (kTokenLimit == 1) {
          await_row<Format::bf16, kSingle.kv_rank>(block, p.words.context + head * dims.kv_rank / 2,
                                                   mark);
        } else {
          add_contexts(block, head, mark, sums);
        }
        begins();
      } else {
        const MergedPart part(block, token, head, own ? 0 : i % 4 * kQuarter,
                              own ? kPartialGroups : kQuarter);
        merge_splits(block, part, mark, begins, [&](int column, std::uint32_t pair) {
          const int at = activation_position(Format::bf16, column) / 2;
          if (own) {
            reinterpret_cast<std::uint32_t*>(staged_row(block, 0))[at] = pair;
          } else {
            publish(p.words.context + (token * dims.heads + head) * dims.kv_rank / 2 + at, pair,
                    mark);
          }
        });
      }
      if (!own) continue;
      if constexpr (kTokenLimit == 1) {
        sums = multiply_single(block, shape, SingleRow<Format::bf16>(block));
      }
      // Tile i of all heads is columns 16 i and the next 15 of the output projection's row.
      finish_rows<Format::bf16>(block, sums, [&](int row, int of, float value, bool valid) {
        SingleRow<F>::publish_column(p.words.attention + of * (kSingle.heads * kSingle.v / 2),
                                     i * kTileRows + row, value, valid, mark);
      });
    }
  }
}

/// The tokens' 16 columns of x that a tile of `hidden` rows is added to, each in the thread that
/// will have the result. They have been there for long: asked for at once and looked at when the
/// sums stand, they cost no time of their own.
struct AskedResidual {
  StepWord* at;
  uint2 word;
  unsigned mark;

  __device__ AskedResidual(const Block& block, int tile, unsigned of_x) : mark(of_x) {
    const int place = result_place(block);
    at = block.p.words.x + result_token(block, place) * kSingle.hidden +
         x_word(tile * kTileRows + place % kTileRows);
    word = load_relaxed(at);
  }
  /// Hands on the tile's sums plus what was asked for, as words of x with mark `next`.
  template <Format F>
  __device__ __forceinline__ void add(Block& block, const typename SingleRow<F>::Sums& sums,
                                      unsigned next) const {
    finish_rows<F>(block, sums, [&](int /*row*/, int /*token*/, float sum, bool valid) {
      // Other lanes may have the same word, which the one that writes it must not take from them.
      if (!valid) return;
      uint2 x = word;
      while (x.y != mark) x = load_relaxed(at);
      publish(at, __uint_as_float(x.x) + sum, next);
    });
  }
};

/// The output projection's row: the heads' values. Whole in shared memory, or a warp's columns of
/// it straight from their words in the registers of those who multiply.
template <Format F, bool kSplit = kSplitsRow<F>>
struct AwaitedValues {
  static constexpr PackedShape kOut{F, kSingle.hidden, kSingle.heads* kSingle.v};
  static constexpr int kGroups = kWarpGroups<F>;
  static_assert(kOut.cols % chunk_columns(F) == 0);
  uint4 b[kOut.chunks() * kGroups];

  __device__ __forceinline__ AwaitedValues(const Block& block, unsigned mark) {
    const StepWord* row = block.p.words.attention + lane_token(block) * (kOut.cols / 2);
    await_operand<kOut.chunks() * kGroups>(block, row, mark, b, [&](int at) {
      return at / kGroups * chunk_columns(F) + group_column<F, 1>(block, at % kGroups);
    });
  }
  /// The next tile.
  [[nodiscard]] __device__ __forceinline__ typename SingleRow<F>::Sums multiply(
      Block& block) const {
    constexpr PackedShape out = kOut;
    typename SingleRow<F>::Sums sums;
#pragma unroll
    for (int chunk = 0; chunk < out.chunks(); ++chunk) {
      StageOperand<F, 1> operand;
#pragma unroll
      for (int g = 0; g < kGroups; ++g) operand.b[g][0] = b[chunk * kGroups + g];
      add_stage<F, 1>(block, out.chunk_width(chunk), operand, sums.acc);
    }
    return sums;
  }
};
#if CARETD_WARPGROUP_PRODUCTS
template <Format F>
struct AwaitedValues<F, true> {
  static constexpr PackedShape kOut{F, kSingle.hidden, kSingle.heads* kSingle.v};

  __device__ __forceinline__ AwaitedValues(const Block& block, unsigned mark) {
    await_row<F, kOut.cols>(block, block.p.words.attention, mark);
  }
  [[nodiscard]] __device__ __forceinline__ typename SingleRow<F>::Sums multiply(
      Block& block) const {
    return multiply_waiting<F, kOut.cols>(block, SingleRow<F>(block));
  }
};
#endif

/// x += output projection of the heads.
template <Format F>
__device__ __forceinline__ void project_out_single(Block& block, int layer, const Marks& marks) {
  const StepDims& dims = sizes(block.p);
  if (dims.is_moe(layer) && threadIdx.x == 0) {
    mbarrier_arrive(shared_address(&block.header->values_due));
  }
  const Share share(block, AwaitedValues<F>::kOut.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const AskedResidual residual(block, share.tile(i), marks.x_before(layer));
    const AwaitedValues<F> values(block, marks.within(layer));
    if (i == 0) end_operation(block);
    residual.template add<F>(block, values.multiply(block), marks.x_between(layer));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
