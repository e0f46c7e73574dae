// Latent attention in its absorbed form (DeepSeek-V2 paper, section 2.1.2): queries are taken
// through kv_b's key half, so that scores and outputs are computed against the cached latent; one
// sequence is split over the grid and the pieces are merged by their log-sum-exp.
#pragma once

#include "kernels/cuda/step/norm.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

[[nodiscard]] __device__ __forceinline__ __nv_bfloat16* page_row(const StepParams& p, int page,
                                                                 int layer, int row) {
  const std::int64_t width = sizes(p).kv_width();
  return reinterpret_cast<__nv_bfloat16*>(p.kv_pages) +
         ((static_cast<std::int64_t>(page) * p.dims.layers + layer) * kPageRows + row) * width;
}

/// Rotates the interleaved pair (2i, 2i + 1) and stores it (RoFormer, section 3.4.2).
__device__ __forceinline__ void rotate_pair(float a, float b, float2 turn, __nv_bfloat16* out) {
  *reinterpret_cast<std::uint32_t*>(out) =
      pack_bf16(a * turn.x - b * turn.y, a * turn.y + b * turn.x);
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
  const StepParams& p = block.p;
  const StepDims& dims = sizes(p);
  const StepToken& t = block.header->token[token];
  const float* kv = p.buffers.kv + static_cast<std::int64_t>(token) * dims.kv_width();
  const float* norm = p.weights.kv_norm + static_cast<std::int64_t>(layer) * dims.kv_rank;
  const int page = p.batch.pages[block.header->run[t.run].first_page + t.position / kPageRows];
  __nv_bfloat16* out = page_row(p, page, layer, t.position % kPageRows);
  float sum = 0.0F;
#pragma unroll 1
  for (int c = block.lane; c < dims.kv_rank; c += 32) sum += kv[c] * kv[c];
  const float scale = rsqrtf(warp_sum(sum) / dims.kv_rank + p.dims.norm_epsilon);
#pragma unroll 1
  for (int c = block.lane * 2; c < dims.kv_rank; c += 64) {
    *reinterpret_cast<std::uint32_t*>(out + c) =
        pack_bf16(kv[c] * scale * norm[c], kv[c + 1] * scale * norm[c + 1]);
  }
  const float2* turns = p.weights.rotary + static_cast<std::int64_t>(t.position) * (dims.rope / 2);
#pragma unroll 1
  for (int i = block.lane; i < dims.rope / 2; i += 32) {
    const float* pair = kv + dims.kv_rank + 2 * i;
    rotate_pair(pair[0], pair[1], turns[i], out + dims.kv_rank + 2 * i);
  }
}

/// Warps of the whole grid, starting with the last warp of every block, take the small per-token
/// work; the first warps are those with weight tiles to multiply.
__device__ __forceinline__ void rotate_and_write(const Block& block, int layer) {
  const int queries = block.tokens() * sizes(block.p).heads;
  const int warps = block.blocks * kStepConsumerWarps;
  const int mine = (kStepConsumerWarps - 1 - block.warp) * block.blocks + block.index;
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

/// A stage of the absorb operation: 64 latent rows of one head, packed as four tiles.
inline constexpr int kAbsorbRows = 64;

template <int NT>
__device__ __forceinline__ void absorb_queries(Block& block) {
  const StepDims& dims = sizes(block.p);
  const int stages_per_head = dims.kv_rank / kAbsorbRows;
  const Share share(block, dims.heads * stages_per_head);
  const unsigned tile_bytes = PackedShape{Format::bf16, kAbsorbRows, dims.nope}.tile_bytes();
#pragma unroll 1
  for (int i = block.team(); i < share.count; i += kStepTeams) {
    const int head = block.p.divide.absorb_stages.quotient(share.tile(i));
    const unsigned stage = block.stage + i;
    const Operand<NT> operand =
        operand_rows<NT>(block, block.p.buffers.q + head * dims.head_dim(), dims.q_width());
    float acc[NT][4];
    clear<NT>(acc);
    multiply_chunk<Format::bf16, NT>(
        block, slot_address(block, stage) + block.team_warp() * tile_bytes, dims.nope,
        dims.nope % 128 == 0, 0, operand, 0, [&] { wait_full(block, stage); }, acc);
    release(block, stage);
    const int tile = (share.tile(i) - head * stages_per_head) * kStepTeamWarps + block.team_warp();
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
      for_results(block, tile, nt, acc[nt], [&](int row, int token, float value) {
        block.p.buffers
            .query[static_cast<std::int64_t>(token * dims.heads + head) * dims.kv_width() + row] =
            __float2bfloat16(value);
      });
    }
  }
  block.stage += share.count;
}

/// Shared memory of the attention of one item; row pitches are odd multiples of 16 bytes, so that
/// ldmatrix meets no bank twice.
struct AttentionShared {
  int pitch;               ///< bytes of a query or KV row
  std::uint32_t query;     ///< [16] rows
  std::uint32_t kv[2];     ///< [32] rows each
  float* scores;           ///< [4 quarters of the width][16][33]
  __nv_bfloat16* weights;  ///< [16][40]
  float* factor;           ///< [16]: rescaling of what was accumulated before
  float2* stats;           ///< [16]: running maximum and sum

  static constexpr int kScorePitch = kAttentionTile + 1;
  static constexpr int kWeightPitch = kAttentionTile + 8;

  __device__ explicit AttentionShared(const Block& block) {
    pitch = (sizes(block.p).kv_width() * 2 + 16) | 16;
    std::byte* at = block.activations();
    query = shared_address(at);
    at += kAttentionRows * pitch;
    kv[0] = shared_address(at);
    at += kAttentionTile * pitch;
    kv[1] = shared_address(at);
    at += kAttentionTile * pitch;
    scores = reinterpret_cast<float*>(at);
    at += 4 * kAttentionRows * kScorePitch * 4;
    weights = reinterpret_cast<__nv_bfloat16*>(at);
    at += kAttentionRows * kWeightPitch * 2;
    factor = reinterpret_cast<float*>(at);
    at += kAttentionRows * 4;
    stats = reinterpret_cast<float2*>(at);
  }
};

/// Position of the last KV row that (token, head) row `row` of a run may see.
__device__ __forceinline__ int visible_until(const Block& block, const StepRun& run, int row) {
  return block.header->token[run.first_token + block.p.divide.heads.quotient(row)].position;
}

__device__ __forceinline__ void load_queries(const Block& block, const AttentionShared& shared,
                                             const StepRun& run, int first_row) {
  const StepDims& dims = sizes(block.p);
  const int row = first_row + block.warp;  // a warp a row
  const bool valid = row < run.tokens * dims.heads;
  const __nv_bfloat16* from =
      block.p.buffers.query +
      static_cast<std::int64_t>(run.first_token * dims.heads + (valid ? row : 0)) * dims.kv_width();
  const std::uint32_t to = shared.query + block.warp * shared.pitch;
#pragma unroll 1
  for (int piece = block.lane; piece < dims.kv_width() / 8; piece += 32) {
    copy_async_16(to + piece * 16, from + piece * 8, valid);
  }
}

/// The page that holds position `begin` of an item; the block's first item has its pages at hand.
__device__ __forceinline__ int item_page(const Block& block, const AttentionItem& item, bool first,
                                         int begin) {
  const int page = begin / kPageRows;
  const int cached = page - item.begin / kPageRows;
  if (first && cached < kCachedPages) return block.header->item_pages[cached];
  return block.p.batch.pages[block.header->run[item.run].first_page + page];
}

__device__ __forceinline__ void load_kv_tile(const Block& block, const AttentionShared& shared,
                                             int page, int layer, int begin, int buffer) {
  const int width = sizes(block.p).kv_width();
  const __nv_bfloat16* from = page_row(block.p, page, layer, begin % kPageRows);
#pragma unroll
  for (int row = block.warp; row < kAttentionTile; row += kStepConsumerWarps) {
#pragma unroll 1
    for (int piece = block.lane; piece < width / 8; piece += 32) {
      copy_async_16(shared.kv[buffer] + row * shared.pitch + piece * 16,
                    from + row * width + piece * 8);
    }
  }
}

/// scores[quarter][16][32]: warp w takes 8 KV rows and a quarter of the width.
__device__ __forceinline__ void score_tile(const Block& block, const AttentionShared& shared,
                                           int buffer) {
  const int column = block.warp % 4 * 8;
  const int quarter = block.warp / 4;
  const int steps = sizes(block.p).kv_width() / 16;
  const int per_quarter = (steps + 3) / 4;
  const int lane = block.lane;
  const std::uint32_t a = shared.query + lane % 16 * shared.pitch + lane / 16 * 16;
  const std::uint32_t b =
      shared.kv[buffer] + (column + lane % 8) * shared.pitch + (lane / 8 & 1) * 16;
  float c[4] = {};
#pragma unroll 3
  for (int step = quarter * per_quarter; step < min(steps, (quarter + 1) * per_quarter); ++step) {
    const uint2 keys = load_matrix_x2(b + step * 32);
    multiply_accumulate(c, load_matrix_x4(a + step * 32), keys.x, keys.y);
  }
  float* out = shared.scores +
               (quarter * kAttentionRows + lane / 4) * AttentionShared::kScorePitch + column +
               lane % 4 * 2;
  out[0] = c[0];
  out[1] = c[1];
  out[8 * AttentionShared::kScorePitch] = c[2];
  out[8 * AttentionShared::kScorePitch + 1] = c[3];
}

/// Online softmax of one tile: warp w takes row w, a lane one KV row. `visible` is the number of
/// leading rows of the tile that the query row may see.
__device__ __forceinline__ void weigh_tile(const Block& block, const AttentionShared& shared,
                                           int visible, float2& running) {
  const int at = block.warp * AttentionShared::kScorePitch + block.lane;
  constexpr int kQuarter = kAttentionRows * AttentionShared::kScorePitch;
  float score = shared.scores[at] + shared.scores[at + kQuarter] +
                shared.scores[at + 2 * kQuarter] + shared.scores[at + 3 * kQuarter];
  score = block.lane < visible ? score * block.p.dims.softmax_scale_log2 : -INFINITY;
  const float maximum = fmaxf(running.x, warp_max(score));
  const float weight = maximum == -INFINITY ? 0.0F : exp2f(score - maximum);
  const float factor = running.x == -INFINITY ? 0.0F : exp2f(running.x - maximum);
  running = make_float2(maximum, running.y * factor + warp_sum(weight));
  shared.weights[block.warp * AttentionShared::kWeightPitch + block.lane] =
      __float2bfloat16(weight);
  if (block.lane == 0) shared.factor[block.warp] = factor;
}

/// The latent columns of a warp: 8 for every 128 of the rank.
inline constexpr int kMaxColumnTiles = 4;

/// out += weights [16 x 32] * latent [32 x this warp's columns].
__device__ __forceinline__ void accumulate_tile(const Block& block, const AttentionShared& shared,
                                                int buffer, float (&out)[kMaxColumnTiles][4]) {
  const int lane = block.lane;
  const int tiles = sizes(block.p).kv_rank / 128;
  const float low = shared.factor[lane / 4];
  const float high = shared.factor[lane / 4 + 8];
  const std::uint32_t a = shared_address(shared.weights) +
                          lane % 16 * (AttentionShared::kWeightPitch * 2) + lane / 16 * 16;
  const uint4 first = load_matrix_x4(a);
  const uint4 second = load_matrix_x4(a + 32);
#pragma unroll
  for (int tile = 0; tile < kMaxColumnTiles; ++tile) {
    if (tile < tiles) {
      const int column = (block.warp * tiles + tile) * 8;
      const uint4 latent =
          load_matrix_x4_transposed(shared.kv[buffer] + lane * shared.pitch + column * 2);
      out[tile][0] *= low;
      out[tile][1] *= low;
      out[tile][2] *= high;
      out[tile][3] *= high;
      multiply_accumulate(out[tile], first, latent.x, latent.y);
      multiply_accumulate(out[tile], second, latent.z, latent.w);
    }
  }
}

__device__ __forceinline__ void store_partial(const Block& block, int item, float2 running,
                                              const float (&out)[kMaxColumnTiles][4]) {
  const StepDims& dims = sizes(block.p);
  const int lane = block.lane;
  const int tiles = dims.kv_rank / 128;
  float* partial =
      block.p.buffers.partial + static_cast<std::int64_t>(item) * kAttentionRows * dims.kv_rank;
#pragma unroll
  for (int tile = 0; tile < kMaxColumnTiles; ++tile) {
    if (tile < tiles) {
      float* at =
          partial + lane / 4 * dims.kv_rank + (block.warp * tiles + tile) * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(at) = make_float2(out[tile][0], out[tile][1]);
      *reinterpret_cast<float2*>(at + 8 * dims.kv_rank) = make_float2(out[tile][2], out[tile][3]);
    }
  }
  if (lane == 0) block.p.buffers.partial_stats[item * kAttentionRows + block.warp] = running;
}

/// The block's items of one layer. The next tile is on its way while one is worked on; a buffer is
/// overwritten two barriers after its last reader at the earliest.
__device__ __forceinline__ void attend(const Block& block, int layer) {
  const StepParams& p = block.p;
  const AttentionShared shared(block);
  int buffer = 0;
#pragma unroll 1
  for (int i = block.index; i < p.batch.items; i += block.blocks) {
    const bool first = i == block.index;
    const AttentionItem item = first ? block.header->item : p.batch.item[i];
    const StepRun run = block.header->run[item.run];
    const int last_row = run.tokens * sizes(p).heads - 1;
    const int visible_end =
        visible_until(block, run, min(item.first_row + block.warp, last_row)) + 1;
    load_kv_tile(block, shared, item_page(block, item, first, item.begin), layer, item.begin,
                 buffer);
    load_queries(block, shared, run, item.first_row);
    copy_async_commit();
    float2 running = make_float2(-INFINITY, 0.0F);
    float out[kMaxColumnTiles][4] = {};
#pragma unroll 1
    for (int begin = item.begin; begin < item.end; begin += kAttentionTile) {
      const int next = begin + kAttentionTile;
      copy_async_wait<0>();
      consumer_sync();
      if (next < item.end) {
        load_kv_tile(block, shared, item_page(block, item, first, next), layer, next, buffer ^ 1);
        copy_async_commit();
      }
      score_tile(block, shared, buffer);
      consumer_sync();
      weigh_tile(block, shared, visible_end - begin, running);
      consumer_sync();
      accumulate_tile(block, shared, buffer, out);
      buffer ^= 1;
    }
    store_partial(block, i, running, out);
  }
}

/// Merges the splits of latent columns [column, column + width) of one (token, head): every split
/// counts with its own sum of exponentials. store(column, values) gets four columns at a time.
/// All consumer threads; width is a multiple of 128 and at most 512.
template <class Store>
__device__ __forceinline__ void combine_splits(const Block& block, int token, int head, int column,
                                               int width, Store&& store) {
  const StepParams& p = block.p;
  const StepRun& run = block.header->run[block.header->token[token].run];
  const int row = (token - run.first_token) * sizes(p).heads + head;
  const int first_item = run.first_item + row / kAttentionRows * run.splits;
  const float2* stats =
      p.buffers.partial_stats + first_item * kAttentionRows + row % kAttentionRows;
  const float* partial =
      p.buffers.partial +
      (static_cast<std::int64_t>(first_item) * kAttentionRows + row % kAttentionRows) *
          sizes(p).kv_rank;
  const std::int64_t stride = static_cast<std::int64_t>(kAttentionRows) * sizes(p).kv_rank;
  const int owners = width / 4;  // threads that together own one split's columns
  const int parts = kStepConsumers / owners;
  const int thread = static_cast<int>(threadIdx.x);
  const int mine = column + thread % owners * 4;

  // The first rows of this thread are asked for before the statistics that weigh them are known.
  constexpr int kAhead = 8;
  float4 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int s = min(thread / owners + i * parts, run.splits - 1);
    ahead[i] = *reinterpret_cast<const float4*>(partial + s * stride + mine);
  }
  float maximum = -INFINITY;
#pragma unroll 1
  for (int s = block.lane; s < run.splits; s += 32) {
    maximum = fmaxf(maximum, stats[s * kAttentionRows].x);
  }
  maximum = warp_max(maximum);
  float weight = 0.0F;
#pragma unroll 1
  for (int s = block.lane; s < run.splits; s += 32) {
    const float2 stat = stats[s * kAttentionRows];
    weight += exp2f(stat.x - maximum) * stat.y;
  }
  const float scale = 1.0F / warp_sum(weight);

  float4 sum = make_float4(0, 0, 0, 0);
  const auto add = [&](int s, float4 v) {
    const float factor = exp2f(stats[s * kAttentionRows].x - maximum) * scale;
    sum = make_float4(sum.x + factor * v.x, sum.y + factor * v.y, sum.z + factor * v.z,
                      sum.w + factor * v.w);
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    const int s = thread / owners + i * parts;
    if (s < run.splits) add(s, ahead[i]);
  }
#pragma unroll 1
  for (int s = thread / owners + kAhead * parts; s < run.splits; s += parts) {
    add(s, *reinterpret_cast<const float4*>(partial + s * stride + mine));
  }
  float4* sums = block.scratch();
  sums[thread] = sum;
  consumer_sync();
  if (thread < owners) {
#pragma unroll 1
    for (int i = 1; i < parts; ++i) {
      const float4 v = sums[i * owners + thread];
      sum = make_float4(sum.x + v.x, sum.y + v.y, sum.z + v.z, sum.w + v.w);
    }
    store(mine, sum);
  }
  consumer_sync();
}

/// Merging as an operation of its own, for many splits: a quarter of a (token, head) a block.
__device__ __forceinline__ void combine_all(const Block& block) {
  const StepDims& dims = sizes(block.p);
  const int width = max(128, dims.kv_rank / 4);
  const int pieces = dims.kv_rank / width;
#pragma unroll 1
  for (int i = block.index; i < block.tokens() * dims.heads * pieces; i += block.blocks) {
    const int row = i / pieces;
    __nv_bfloat16* out = block.p.buffers.context + static_cast<std::int64_t>(row) * dims.kv_rank;
    combine_splits(block, block.p.divide.heads.quotient(row), block.p.divide.heads.remainder(row),
                   i % pieces * width, width,
                   [&](int column, float4 v) { store_activation4<Format::bf16>(out, column, v); });
  }
}

/// Takes the merged latent outputs through kv_b's value half, a tile of 16 values of one head a
/// block. F is the format of the output projection, whose operand this writes.
template <Format F, int NT>
__device__ __forceinline__ void expand_values(Block& block) {
  const StepDims& dims = sizes(block.p);
  const PackedShape shape{Format::bf16, dims.v, dims.kv_rank};
  const Share share(block, dims.heads * shape.tiles());
#pragma unroll 1
  for (int i = 0; i < share.count; ++i) {
    const int head = block.p.divide.value_tiles.quotient(share.tile(i));
    Operand<NT> operand;
    if (block.p.batch.combine_separately != 0) {
      operand = operand_rows<NT>(block, block.p.buffers.context + head * dims.kv_rank,
                                 static_cast<std::int64_t>(dims.heads) * dims.kv_rank);
    } else {
#pragma unroll 1
      for (int token = 0; token < block.tokens(); ++token) {
        combine_splits(block, token, head, 0, dims.kv_rank, [&](int column, float4 v) {
          store_activation4<Format::bf16>(staged_row(block, token), column, v);
        });
      }
      operand = staged_operand<NT>(block);
    }
    const int first_row = head * dims.v;
    multiply_split<Format::bf16, NT>(
        block, shape, share.tile(i) - head * shape.tiles(), operand,
        [&](int tile, int nt, const float(&sum)[4]) {
          for_results(block, tile, nt, sum, [&](int row, int token, float value) {
            store_activation<F>(
                block.p.buffers.attention + static_cast<std::int64_t>(token) * dims.heads * dims.v,
                first_row + row, value);
          });
        });
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
