// Latent attention in its absorbed form (DeepSeek-V2 paper, section 2.1.2): queries are taken
// through kv_b's key half, so that scores and outputs are computed against the cached latent; one
// sequence is split over the grid and the pieces are merged by their log-sum-exp.
#pragma once

#include "kernels/cuda/step/norm.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

#if !defined(CARETD_DEVICE_CAPABILITY) && defined(__CUDA_ARCH__)
#define CARETD_DEVICE_CAPABILITY __CUDA_ARCH__
#elif !defined(CARETD_DEVICE_CAPABILITY)
#define CARETD_DEVICE_CAPABILITY 0  // the compiler's pass over host code
#endif
inline constexpr int kAttentionTile = attention_tile(CARETD_DEVICE_CAPABILITY);
inline constexpr int kTileStages = kAttentionTile / kStageRows;

/// The row of its page with which the tile of KV rows from position `begin` on starts.
[[nodiscard]] __device__ __forceinline__ int row_in_page(int begin) {
  return kAttentionTile < kPageRows ? begin % kPageRows : 0;
}

[[nodiscard]] __device__ __forceinline__ __nv_bfloat16* page_row(const StepParams& p, int page,
                                                                 int layer, int row) {
  const std::int64_t width = sizes(p).kv_width();
  return reinterpret_cast<__nv_bfloat16*>(p.kv_pages) +
         ((static_cast<std::int64_t>(page) * p.dims.layers + layer) * kPageRows + row) * width;
}

/// The interleaved pair (2i, 2i + 1), rotated (RoFormer, section 3.4.2).
[[nodiscard]] __device__ __forceinline__ std::uint32_t rotated(float a, float b, float2 turn) {
  return pack_bf16(a * turn.x - b * turn.y, a * turn.y + b * turn.x);
}
__device__ __forceinline__ void rotate_pair(float a, float b, float2 turn, __nv_bfloat16* out) {
  *reinterpret_cast<std::uint32_t*>(out) = rotated(a, b, turn);
}

/// Rotary part of one (token, head) query; called by one warp.
__device__ __forceinline__ void rotate_query(const Block& block, int token, int head) {
  const StepDims& dims = sizes(block.p);
  const int position = block.header->token[token].position;
  const float2* turns =
      block.p.weights.rotary + static_cast<std::int64_t>(position) * (dims.rope / 2);
  const __nv_bfloat16* q = block.p.buffers.q + static_cast<std::int64_t>(token) * dims.q_width();
  __nv_bfloat16* out = block.p.buffers.query +
                       static_cast<std::int64_t>(token * dims.heads + head) * dims.kv_width() +
                       dims.kv_rank;
#pragma unroll 1
  for (int i = block.lane; i < dims.rope / 2; i += 32) {
    const int at = activation_position(Format::bf16, head * dims.head_dim() + dims.nope + 2 * i);
    const float2 pair = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(q + at));
    rotate_pair(pair.x, pair.y, turns[i], out + 2 * i);
  }
}

/// Norms and rotates one token's latent and key, and writes the row of its page; one warp.
__device__ __forceinline__ void write_kv_row(const Block& block, int layer, int token) {
  constexpr int kMaxPieces = 512 / 128;  // of 128 columns; check_dims() allows a rank up to 512
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const StepToken& t = block.header->token[token];
  const float* kv = p.buffers.kv + static_cast<std::int64_t>(token) * dims.kv_width();
  const float* norm = p.weights.kv_norm + static_cast<std::int64_t>(layer) * dims.kv_rank;
  const int page = p.batch.pages[block.header->run[t.run].first_page + t.position / kPageRows];
  __nv_bfloat16* out = page_row(p, page, layer, t.position % kPageRows);
  const float2* turns = p.weights.rotary + static_cast<std::int64_t>(t.position) * (dims.rope / 2);
  float4 v[kMaxPieces];
  float4 w[kMaxPieces];
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kMaxPieces; ++i) {
    v[i] = w[i] = make_float4(0, 0, 0, 0);
    const int c = i * 128 + block.lane * 4;
    if (c >= dims.kv_rank) continue;
    v[i] = *reinterpret_cast<const float4*>(kv + c);
    w[i] = __ldg(reinterpret_cast<const float4*>(norm + c));
  }
#pragma unroll 1
  for (int i = block.lane; i < dims.rope / 2; i += 32) {
    const float2 pair = *reinterpret_cast<const float2*>(kv + dims.kv_rank + 2 * i);
    rotate_pair(pair.x, pair.y, __ldg(turns + i), out + dims.kv_rank + 2 * i);
  }
#pragma unroll
  for (int i = 0; i < kMaxPieces; ++i) {
    sum += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
  const float scale = rsqrtf(warp_sum(sum) / dims.kv_rank + p.dims.norm_epsilon);
#pragma unroll
  for (int i = 0; i < kMaxPieces; ++i) {
    const int c = i * 128 + block.lane * 4;
    if (c >= dims.kv_rank) continue;
    *reinterpret_cast<uint2*>(out + c) =
        make_uint2(pack_bf16(v[i].x * scale * w[i].x, v[i].y * scale * w[i].y),
                   pack_bf16(v[i].z * scale * w[i].z, v[i].w * scale * w[i].w));
  }
}

/// The small per-token work goes to the last blocks, which have the fewest tiles to multiply.
__device__ __forceinline__ void rotate_and_write(const Block& block, int layer) {
  const int queries = block.tokens() * sizes(block.p).heads;
  const int warps = block.blocks * kStepConsumerWarps;
  const int mine = (block.blocks - 1 - block.index) * kStepConsumerWarps + block.warp;
#pragma unroll 1
  for (int i = mine; i < queries + block.tokens(); i += warps) {
    if (i < block.tokens()) {
      write_kv_row(block, layer, i);
    } else {
      const int query = i - block.tokens();
      rotate_query(block, block.p.divide.heads.quotient(query),
                   block.p.divide.heads.remainder(query));
    }
  }
}

/// A stage of the absorb operation: 64 latent rows of one head, packed as four tiles. A tile is
/// shared by every fourth warp, which divide its columns.
inline constexpr int kAbsorbTiles = 4;
inline constexpr int kAbsorbRows = kAbsorbTiles * kTileRows;
inline constexpr int kAbsorbParts = kStepConsumerWarps / kAbsorbTiles;
inline constexpr int kAbsorbGroups = 128 / 32 / kAbsorbParts;  // check_dims(): nope up to 128

template <int NT>
__device__ __forceinline__ void absorb_queries(Block& block) {
  const StepDims& dims = sizes(block.p);
  const int stages_per_head = dims.kv_rank / kAbsorbRows;
  const Share share(block, dims.heads * stages_per_head);
  const unsigned tile_bytes = PackedShape{Format::bf16, kAbsorbRows, dims.nope}.tile_bytes();
  const int first = block.warp / kAbsorbTiles * kAbsorbGroups;
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int head = block.p.divide.absorb_stages.quotient(share.tile(i));
    const Operand<NT> operand =
        operand_rows<NT>(block, block.p.buffers.q + head * dims.head_dim(), dims.q_width());
    uint4 b[kAbsorbGroups][NT];
    float acc[NT][4];
    clear<NT>(acc);
#pragma unroll
    for (int g = 0; g < kAbsorbGroups; ++g) {
      if ((first + g) * 32 >= dims.nope) break;
#pragma unroll
      for (int nt = 0; nt < NT; ++nt) b[g][nt] = operand.load(nt, (first + g) * 32);
    }
    const std::uint32_t tile =
        await_stage(block, block.next) + block.warp % kAbsorbTiles * tile_bytes;
    const std::uint32_t a = fragment_address<Format::bf16>(block, tile, dims.nope);
    unsigned loaded = 0;
#pragma unroll
    for (int g = 0; g < kAbsorbGroups; ++g) {
      if ((first + g) * 32 >= dims.nope) break;
      loaded ^= multiply_group<Format::bf16, NT>(a + (first + g) * 512, b[g], acc);
    }
    release(block, loaded);
    const int first_row = (share.tile(i) - head * stages_per_head) * kAbsorbRows;
    finish_tile<NT>(block, acc, [&](const TileSums& sums, int first_token, int tokens) {
      for_results(block, kAbsorbRows, tokens, [&](int row, int t) {
        const std::int64_t query = static_cast<std::int64_t>(first_token + t) * dims.heads + head;
        block.p.buffers.query[query * dims.kv_width() + first_row + row] =
            __float2bfloat16(sums.sum(row % kTileRows, t, row / kTileRows, kAbsorbTiles));
      });
    });
  }
}

/// Shared memory of the attention of one item besides the KV rows, which are in the ring.
struct AttentionShared {
  int pitch;               ///< bytes of a query or KV row
  std::uint32_t query;     ///< [16] rows
  float* scores[4];        ///< of each quarter of the width: [16][kScorePitch]
  __nv_bfloat16* weights;  ///< [16][kWeightPitch]
  float* factor;           ///< [16]: rescaling of what was accumulated before

  static constexpr int kScorePitch = kAttentionTile + 1;
  static constexpr int kWeightPitch = kAttentionTile + 8;

  __device__ explicit AttentionShared(const Block& block) {
    pitch = kv_pitch(sizes(block.p));
    std::byte* at = block.activations();
    query = shared_address(at);
    at += kAttentionRows * pitch;
    // Two quarters in the area where tiles are summed, which attention has no use for.
    constexpr int kScores = kAttentionRows * kScorePitch;
    scores[0] = reinterpret_cast<float*>(at);
    scores[1] = scores[0] + kScores;
    at += 2 * kScores * 4;
    scores[2] = reinterpret_cast<float*>(block.scratch());
    scores[3] = scores[2] + kScores;
    static_assert(2 * kScores * 4 <= 2 * kTileSumBytes);
    weights = reinterpret_cast<__nv_bfloat16*>(at);
    at += kAttentionRows * kWeightPitch * 2;
    factor = reinterpret_cast<float*>(at);
  }
};

/// The KV rows of an attention tile, in as many ring stages.
struct KvTile {
  std::uint32_t stage[kTileStages];

  /// Waits for the stages and gives their addresses.
  __device__ explicit KvTile(const Block& block) {
    RingPlace place = block.next;
#pragma unroll
    for (std::uint32_t& address : stage) {
      address = await_stage(block, place);
      place.advance(block.p.shared.slots);
    }
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t row(int row, int pitch) const {
    std::uint32_t at = stage[0];
#pragma unroll
    for (int i = 1; i < kTileStages; ++i) {
      // Equality with row / kStageRows would become an index, and the array would lie in memory.
      if (row >= i * kStageRows) at = stage[i];
    }
    return at + row % kStageRows * pitch;
  }
};

/// Position of the last KV row that (token, head) row `row` of a run may see.
__device__ __forceinline__ int visible_until(const Block& block, const StepRun& run, int row) {
  return block.header->token[run.first_token + block.p.divide.heads.quotient(row)].position;
}

__device__ __forceinline__ void load_queries(const Block& block, const AttentionShared& shared,
                                             const StepRun& run, int first_row) {
  const StepDims& dims = sizes(block.p);
  const int pieces = dims.kv_width() / 8;
#pragma unroll
  for (int row = block.warp; row < kAttentionRows; row += kStepConsumerWarps) {
    const bool valid = first_row + row < run.tokens * dims.heads;
    const __nv_bfloat16* from =
        block.p.buffers.query +
        (static_cast<std::int64_t>(run.first_token) * dims.heads + (valid ? first_row + row : 0)) *
            dims.kv_width();
    for (int piece = block.lane; piece < pieces; piece += 32) {
      copy_async_16(shared.query + row * shared.pitch + piece * 16, from + piece * 8, valid);
    }
  }
  copy_async_commit();
}

/// Copies the rows of a tile that this step has written over what the producer found in their
/// place; false where there are none.
__device__ __forceinline__ bool fetch_fresh_rows(const Block& block, int layer, const StepRun& run,
                                                 const KvTile& tile, int begin, int pitch) {
  const StepParams& p = block.p;
  const int fresh = block.header->token[run.first_token].position;
  if (begin + kAttentionTile <= fresh) return false;
  const int pieces = sizes(p).kv_width() / 8;
  const int page = p.batch.pages[run.first_page + begin / kPageRows];
  const int first = row_in_page(begin);
  const int end = min(fresh + run.tokens - begin, kAttentionTile);
#pragma unroll 1
  for (int row = max(fresh - begin, 0) + block.warp; row < end; row += kStepConsumerWarps) {
    const std::uint32_t to = tile.row(row, pitch);
    const __nv_bfloat16* from = page_row(p, page, layer, first + row);
    for (int piece = block.lane; piece < pieces; piece += 32) {
      copy_async_16(to + piece * 16, from + piece * 8);
    }
  }
  copy_async_commit();
  return true;
}

/// A warp takes half of the tile's KV rows and a quarter of the width: sharing a fragment of the
/// queries among 32 rows halves what the scores read from shared memory.
inline constexpr int kScoreParts = 4;
inline constexpr int kScoreStages = kTileStages * kScoreParts / kStepConsumerWarps;

/// scores[part][16][tile].
__device__ __forceinline__ void score_tile(const Block& block, const AttentionShared& shared,
                                           const KvTile& tile) {
  const int lane = block.lane;
  const int part = block.warp % kScoreParts;
  const int first_stage = block.warp / kScoreParts * kScoreStages;
  const int steps = sizes(block.p).kv_width() / 16;
  const int per_part = (steps + kScoreParts - 1) / kScoreParts;
  const int end = min(steps, (part + 1) * per_part);
  const std::uint32_t a = shared.query + lane % 16 * shared.pitch + lane / 16 * 16;
  const std::uint32_t row = (lane / 16 * 8 + lane % 8) * shared.pitch + (lane / 8 & 1) * 16;
  std::uint32_t b[kScoreStages];
#pragma unroll
  for (int s = 0; s < kScoreStages; ++s) {
    b[s] = tile.row((first_stage + s) * kStageRows, shared.pitch) + row;
  }
  float c[kScoreStages][2][4] = {};
#pragma unroll 3
  for (int step = part * per_part; step < end; ++step) {
    const uint4 query = load_matrix_x4(a + step * 32);
    uint4 keys[kScoreStages];
#pragma unroll
    for (int s = 0; s < kScoreStages; ++s) keys[s] = load_matrix_x4(b[s] + step * 32);
#pragma unroll
    for (int s = 0; s < kScoreStages; ++s) {
      multiply_accumulate(c[s][0], query, keys[s].x, keys[s].y);
      multiply_accumulate(c[s][1], query, keys[s].z, keys[s].w);
    }
  }
  float* scores = shared.scores[0];
#pragma unroll
  for (int i = 1; i < kScoreParts; ++i) {
    if (part == i) scores = shared.scores[i];
  }
#pragma unroll
  for (int s = 0; s < kScoreStages; ++s) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* out = scores + lane / 4 * AttentionShared::kScorePitch +
                   (first_stage + s) * kStageRows + half * 8 + lane % 4 * 2;
      out[0] = c[s][half][0];
      out[1] = c[s][half][1];
      out[8 * AttentionShared::kScorePitch] = c[s][half][2];
      out[8 * AttentionShared::kScorePitch + 1] = c[s][half][3];
    }
  }
}

inline constexpr int kRowsPerWarp = kAttentionRows / kStepConsumerWarps;
inline constexpr int kKeysPerLane = kAttentionTile / 32;
static_assert(kKeysPerLane == 1 || kKeysPerLane == 2);

/// Online softmax of one tile: warp w takes rows w, w + warps, ..., a lane one KV row or two.
/// `visible` is the number of leading rows of the tile that a query row may see.
__device__ __forceinline__ void weigh_tile(const Block& block, const AttentionShared& shared,
                                           const int (&visible)[kRowsPerWarp], int begin,
                                           float2 (&running)[kRowsPerWarp]) {
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = block.warp + r * kStepConsumerWarps;
    const int at = row * AttentionShared::kScorePitch + block.lane;
    float score[kKeysPerLane];
#pragma unroll
    for (int i = 0; i < kKeysPerLane; ++i) {
      score[i] = 0.0F;
#pragma unroll
      for (int part = 0; part < kScoreParts; ++part) score[i] += shared.scores[part][at + i * 32];
      const bool seen = begin + block.lane + i * 32 < visible[r];
      score[i] = seen ? score[i] * block.p.dims.softmax_scale_log2 : -INFINITY;
    }
    const float maximum = fmaxf(running[r].x, warp_max(fmaxf(score[0], score[kKeysPerLane - 1])));
    const bool none = maximum == -INFINITY;
    const float first = none ? 0.0F : exp2f(score[0] - maximum);
    const float second =
        none || kKeysPerLane == 1 ? 0.0F : exp2f(score[kKeysPerLane - 1] - maximum);
    const float factor = running[r].x == -INFINITY ? 0.0F : exp2f(running[r].x - maximum);
    running[r] = make_float2(maximum, running[r].y * factor + warp_sum(first + second));
    __nv_bfloat16* weights = shared.weights + row * AttentionShared::kWeightPitch + block.lane;
    weights[0] = __float2bfloat16(first);
    if (kKeysPerLane == 2) weights[32] = __float2bfloat16(second);
    if (block.lane == 0) shared.factor[row] = factor;
  }
}

/// The latent columns of a warp, eight to a tile, at most: the rank is 512 or less.
inline constexpr int kMaxColumnTiles = 512 / 8 / kStepConsumerWarps;

/// out += weights [16 x tile] * latent [tile x this warp's columns]; gives what release() waits
/// for.
__device__ __forceinline__ unsigned accumulate_tile(const Block& block,
                                                    const AttentionShared& shared, const KvTile& kv,
                                                    float (&out)[kMaxColumnTiles][4]) {
  const int lane = block.lane;
  const int tiles = sizes(block.p).kv_rank / 8 / kStepConsumerWarps;
  const float low = shared.factor[lane / 4];
  const float high = shared.factor[lane / 4 + 8];
  const std::uint32_t a = shared_address(shared.weights) +
                          lane % 16 * (AttentionShared::kWeightPitch * 2) + lane / 16 * 16;
  uint4 weights[kTileStages];
#pragma unroll
  for (int i = 0; i < kTileStages; ++i) weights[i] = load_matrix_x4(a + i * 32);
  // Lanes 0-15 address the rows of one stage, lanes 16-31 those of the next.
  const unsigned row = lane % kStageRows * shared.pitch;
  std::uint32_t pair[kTileStages / 2];
#pragma unroll
  for (int i = 0; i < kTileStages / 2; ++i) {
    pair[i] = (lane < 16 ? kv.stage[2 * i] : kv.stage[2 * i + 1]) + row;
  }
  unsigned loaded = 0;
#pragma unroll
  for (int tile = 0; tile < kMaxColumnTiles; ++tile) {
    if (tile >= tiles) break;
    const int column = (block.warp * tiles + tile) * 8;
    uint4 latent[kTileStages / 2];
#pragma unroll
    for (int i = 0; i < kTileStages / 2; ++i) {
      latent[i] = load_matrix_x4_transposed(pair[i] + column * 2);
    }
    // Loads of a warp end in their order.
    loaded = latent[0].x;
    if constexpr (kTileStages > 2) loaded ^= latent[kTileStages / 2 - 1].x;
    out[tile][0] *= low;
    out[tile][1] *= low;
    out[tile][2] *= high;
    out[tile][3] *= high;
#pragma unroll
    for (int i = 0; i < kTileStages / 2; ++i) {
      multiply_accumulate(out[tile], weights[2 * i], latent[i].x, latent[i].y);
      multiply_accumulate(out[tile], weights[2 * i + 1], latent[i].z, latent[i].w);
    }
  }
  return loaded;
}

__device__ __forceinline__ void store_partial(const Block& block, int item,
                                              const float2 (&running)[kRowsPerWarp],
                                              const float (&out)[kMaxColumnTiles][4]) {
  const StepDims& dims = sizes(block.p);
  const int lane = block.lane;
  const int tiles = dims.kv_rank / 8 / kStepConsumerWarps;
  __nv_bfloat16* partial =
      block.p.buffers.partial + static_cast<std::int64_t>(item) * kAttentionRows * dims.kv_rank;
#pragma unroll
  for (int tile = 0; tile < kMaxColumnTiles; ++tile) {
    if (tile >= tiles) break;
    __nv_bfloat16* at =
        partial + lane / 4 * dims.kv_rank + (block.warp * tiles + tile) * 8 + lane % 4 * 2;
    *reinterpret_cast<std::uint32_t*>(at) = pack_bf16(out[tile][0], out[tile][1]);
    *reinterpret_cast<std::uint32_t*>(at + 8 * dims.kv_rank) =
        pack_bf16(out[tile][2], out[tile][3]);
  }
  if (lane != 0) return;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    block.p.buffers.partial_stats[item * kAttentionRows + block.warp + r * kStepConsumerWarps] =
        running[r];
  }
}

/// Attention of one item's queries, which are in shared memory or on their way there. fetch(tile,
/// begin) brings the rows that this step has written into a tile and is true where there were some.
/// weighed(running) is called when a row's final maximum and sum are known, store(running, out) at
/// the end.
template <class Fetch, class Weighed, class Store>
__device__ __forceinline__ void attend_tiles(Block& block, const AttentionShared& shared,
                                             const AttentionItem& item,
                                             const int (&visible)[kRowsPerWarp], Fetch&& fetch,
                                             Weighed&& weighed, Store&& store) {
  float2 running[kRowsPerWarp];
#pragma unroll
  for (float2& row : running) row = make_float2(-INFINITY, 0.0F);
  float out[kMaxColumnTiles][4] = {};
#pragma unroll 1
  for (int begin = item.begin; begin < item.end; begin += kAttentionTile) {
    const KvTile tile(block);
    // What this thread writes into the ring is copied over later.
    if (fetch(tile, begin)) fence_bulk_copies();
    consumer_sync();
    score_tile(block, shared, tile);
    consumer_sync();
    weigh_tile(block, shared, visible, begin, running);
    if (begin + kAttentionTile >= item.end) weighed(running);
    consumer_sync();
    const unsigned loaded = accumulate_tile(block, shared, tile, out);
#pragma unroll
    for (int s = 0; s < kTileStages; ++s) release(block, loaded);
  }
  store(running, out);
  consumer_sync();  // the queries of the next item overwrite these
}

/// The block's items of one layer.
__device__ __forceinline__ void attend(Block& block, int layer) {
  const StepParams& p = block.p;
  const AttentionShared shared(block);
#pragma unroll 1
  for (int i = block.index; i < p.batch.items; i += block.blocks) {
    const AttentionItem item = i == block.index ? block.header->item : p.batch.item[i];
    const StepRun& run = block.header->run[item.run];
    const int last_row = run.tokens * sizes(p).heads - 1;
    load_queries(block, shared, run, item.first_row);
    int visible[kRowsPerWarp];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const int row = item.first_row + block.warp + r * kStepConsumerWarps;
      visible[r] = visible_until(block, run, min(row, last_row)) + 1;
    }
    attend_tiles(
        block, shared, item, visible,
        [&](const KvTile& tile, int begin) {
          const bool fetched = fetch_fresh_rows(block, layer, run, tile, begin, shared.pitch);
          copy_async_wait<0>();
          return fetched;
        },
        [](const float2(&)[kRowsPerWarp]) {},
        [&](const float2(&running)[kRowsPerWarp], const float(&out)[kMaxColumnTiles][4]) {
          store_partial(block, i, running, out);
        });
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
