// Attention of prefill on the warpgroups of compute capability 9.0 (FlashAttention-3,
// arXiv 2407.08608). A block takes 128 queries of a head, 64 for each of two warpgroups; one warp
// keeps two tiles of 128 keys and values on their way. While the products of a tile's weights with
// its values run, a warpgroup computes the weights of the next tile.
#include "kernels/cuda/flash.h"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"

namespace caretd::kernels::cuda {
namespace {

constexpr int kQueries = 128;
constexpr int kKeys = 128;
constexpr int kStages = 2;
constexpr int kThreads = 384;
constexpr int kConsumerWarps = 8;
constexpr int kBoxColumns = 64;
constexpr int kBoxBytes = kKeys * kBoxColumns * 2;  // 128 rows of 128 bytes
static_assert(kQueries == kKeys, "boxes of queries and keys have the same number of rows");

/// The matrices that tiles are copied from.
struct Maps {
  CUtensorMap q_nope;  ///< [tokens, heads * head_dim], boxes of 64 columns
  CUtensorMap q_rope;  ///< the same, boxes of `rope` columns
  CUtensorMap k_nope;  ///< [positions, heads * nope]
  CUtensorMap k_rope;  ///< [positions, kv_width], boxes of `rope` columns
  CUtensorMap v;       ///< [positions, heads * v]
};

/// Shared memory: boxes of 128 rows, queries first, then the stages of keys and of values.
template <int Nope, int Rope, int V>
struct Head {
  static constexpr int kDim = Nope + Rope;
  static constexpr int kRopeRow = Rope * 2;
  static constexpr int kRopeAt = Nope / kBoxColumns * kBoxBytes;
  static constexpr int kBytesK = kRopeAt + kKeys * kRopeRow;
  static constexpr int kBytesV = V / kBoxColumns * kBoxBytes;
  static constexpr int kKeysAt = kBytesK;
  static constexpr int kValuesAt = kKeysAt + kStages * kBytesK;
  static constexpr int kBarriersAt = kValuesAt + kStages * kBytesV;
  static constexpr int kShared = kBarriersAt + (1 + 4 * kStages) * 8;
  static constexpr SharedLayout kRopeLayout =
      Rope == 64 ? SharedLayout::swizzle_128 : SharedLayout::swizzle_64;
};

template <class H>
struct Shared {
  std::uint32_t base;

  [[nodiscard]] __device__ std::uint32_t q() const { return base; }
  [[nodiscard]] __device__ std::uint32_t k(int slot) const {
    return base + H::kKeysAt + slot * H::kBytesK;
  }
  [[nodiscard]] __device__ std::uint32_t v(int slot) const {
    return base + H::kValuesAt + slot * H::kBytesV;
  }
  [[nodiscard]] __device__ std::uint32_t q_full() const { return base + H::kBarriersAt; }
  [[nodiscard]] __device__ std::uint32_t k_full(int slot) const { return q_full() + 8 + slot * 8; }
  [[nodiscard]] __device__ std::uint32_t k_empty(int slot) const { return k_full(kStages + slot); }
  [[nodiscard]] __device__ std::uint32_t v_full(int slot) const {
    return k_full(2 * kStages + slot);
  }
  [[nodiscard]] __device__ std::uint32_t v_empty(int slot) const {
    return k_full(3 * kStages + slot);
  }

  __device__ void init_barriers() const {
    mbarrier_init(q_full(), 1);
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(k_full(i), 1);
      mbarrier_init(v_full(i), 1);
      mbarrier_init(k_empty(i), kConsumerWarps);
      mbarrier_init(v_empty(i), kConsumerWarps);
    }
    mbarrier_init_fence();
  }
};

/// 128 rows of a head, [nope | rope], from row `row` on.
template <class H, int Nope>
__device__ void copy_rows(std::uint32_t to, const CUtensorMap& nope, const CUtensorMap& rope,
                          int row, int nope_col, int rope_col, std::uint32_t barrier) {
  mbarrier_arrive_expect(barrier, H::kBytesK);
  for (int box = 0; box < Nope / kBoxColumns; ++box) {
    tile_copy(to + box * kBoxBytes, nope, row, nope_col + box * kBoxColumns, barrier);
  }
  tile_copy(to + H::kRopeAt, rope, row, rope_col, barrier);
}

/// The thread that loads: all tiles of keys and values, two ahead of the products.
template <int Nope, int Rope, int V>
__device__ void load_tiles(const FlashParams& p, const Maps& maps,
                           const Shared<Head<Nope, Rope, V>>& shared, int head, int first,
                           int tiles) {
  using H = Head<Nope, Rope, V>;
  copy_rows<H, Nope>(shared.q(), maps.q_nope, maps.q_rope, first, head * H::kDim,
                     head * H::kDim + Nope, shared.q_full());
  RingPosition<kStages> ring;
  for (int tile = 0; tile < tiles; ++tile) {
    const int row = tile * kKeys;
    mbarrier_wait(shared.k_empty(ring.slot), ring.phase ^ 1);
    copy_rows<H, Nope>(shared.k(ring.slot), maps.k_nope, maps.k_rope, row, head * Nope, p.kv_rank,
                       shared.k_full(ring.slot));
    mbarrier_wait(shared.v_empty(ring.slot), ring.phase ^ 1);
    const std::uint32_t full = shared.v_full(ring.slot);
    mbarrier_arrive_expect(full, H::kBytesV);
    for (int box = 0; box < V / kBoxColumns; ++box) {
      tile_copy(shared.v(ring.slot) + box * kBoxBytes, maps.v, row, head * V + box * kBoxColumns,
                full);
    }
    ring.advance();
  }
}

/// s = q k^T of a warpgroup's 64 queries; queued, not waited for.
template <int Nope, int Rope, int V>
__device__ __forceinline__ void score(std::uint32_t q, std::uint32_t k, int warpgroup,
                                      float (&s)[kKeys / 2]) {
  using H = Head<Nope, Rope, V>;
  constexpr int kSlices = kBoxColumns / 16;
  const std::uint64_t a =
      shared_operand(q + warpgroup * 64 * 128, 16, 1024, SharedLayout::swizzle_128);
  const std::uint64_t b = shared_operand(k, 16, 1024, SharedLayout::swizzle_128);
#pragma unroll
  for (int slice = 0; slice < Nope / 16; ++slice) {
    const unsigned at = slice / kSlices * kBoxBytes + slice % kSlices * 32;
    multiply_shared(s, operand_at(a, at), operand_at(b, at), slice > 0);
  }
  const std::uint64_t a_rope = shared_operand(q + H::kRopeAt + warpgroup * 64 * H::kRopeRow, 16,
                                              8 * H::kRopeRow, H::kRopeLayout);
  const std::uint64_t b_rope = shared_operand(k + H::kRopeAt, 16, 8 * H::kRopeRow, H::kRopeLayout);
#pragma unroll
  for (int slice = 0; slice < Rope / 16; ++slice) {
    multiply_shared(s, operand_at(a_rope, slice * 32), operand_at(b_rope, slice * 32), true);
  }
}

/// Online softmax of a thread's two query rows.
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};

  /// Makes the scores of a tile weights relative to the maximum so far and returns the factors of
  /// everything before. `visible[h]` is the last key of row h, counted from the tile's first key
  /// plus the thread's first column. The first key of the first tile is visible to every row.
  template <bool kMasked>
  __device__ __forceinline__ float2 update(float (&s)[kKeys / 2], float scale,
                                           const int (&visible)[2]) {
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float best = maximum[half];
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& value = s[j * 4 + half * 2 + i];
          if (kMasked && j * 8 + i > visible[half]) value = -INFINITY;
          best = fmaxf(best, value);
        }
      }
      best = fmaxf(best, __shfl_xor_sync(~0U, best, 1));
      best = fmaxf(best, __shfl_xor_sync(~0U, best, 2));
      factor[half] = exp2f((maximum[half] - best) * scale);
      maximum[half] = best;
      const float base = best * scale;
      float total = 0.0F;
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& value = s[j * 4 + half * 2 + i];
          value = exp2f(fmaf(value, scale, -base));
          total += value;
        }
      }
      sum[half] = sum[half] * factor[half] + total;
    }
    return make_float2(factor[0], factor[1]);
  }

  /// `ahead[h]`: how many keys after the tile's first one row h may see.
  __device__ __forceinline__ float2 update(float (&s)[kKeys / 2], float scale, int ahead,
                                           int lane) {
    const int visible[2] = {ahead - lane % 4 * 2, ahead + 8 - lane % 4 * 2};
    // The same for all threads of a warp: its first row sees the whole tile or not.
    if (ahead - lane / 4 >= kKeys - 1) return update<false>(s, scale, visible);
    return update<true>(s, scale, visible);
  }
};

/// Weights as the A operand of products over 16 keys each.
__device__ __forceinline__ void pack_weights(const float (&s)[kKeys / 2], uint4 (&weights)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float* low = s + i * 8;
    const float* high = low + 4;
    weights[i] = make_uint4(pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]),
                            pack_bf16(high[0], high[1]), pack_bf16(high[2], high[3]));
  }
}

/// out += weights v; queued, not waited for. The values lie along their columns.
template <int V>
__device__ __forceinline__ void accumulate(const uint4 (&weights)[8], std::uint32_t v,
                                           float (&out)[V / 2]) {
  const std::uint64_t b = shared_operand(v, kBoxBytes, 1024, SharedLayout::swizzle_128);
#pragma unroll
  for (int i = 0; i < 8; ++i) multiply_registers(out, weights[i], operand_at(b, i * 16 * 128));
}

template <int V>
__device__ __forceinline__ void rescale(float (&out)[V / 2], float2 factor) {
#pragma unroll
  for (int j = 0; j < V / 8; ++j) {
    out[j * 4] *= factor.x;
    out[j * 4 + 1] *= factor.x;
    out[j * 4 + 2] *= factor.y;
    out[j * 4 + 3] *= factor.y;
  }
}

/// Divides by the sums and writes a thread's two rows.
template <int V>
__device__ __forceinline__ void store_rows(const FlashParams& p, int head, int row, int lane,
                                           const Softmax& softmax, const float (&out)[V / 2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    const float inverse = 1.0F / sum;
    const std::int64_t r = row + half * 8;
#pragma unroll
    for (int j = 0; j < V / 8; j += 2) {
      const auto pair = [&](int strip) {
        const float* at = out + strip * 4 + half * 2;
        return pack_bf16(at[0] * inverse, at[1] * inverse);
      };
      store_sixteen(p.out + (r * p.heads + head) * V + j * 8, r < p.tokens, pair(j), pair(j + 1),
                    lane);
    }
  }
}

/// A warpgroup's 64 queries against all tiles.
template <int Nope, int Rope, int V>
__device__ void attend(const FlashParams& p, const Shared<Head<Nope, Rope, V>>& shared, int head,
                       int first, int tiles, int warpgroup, int lane) {
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const int row = first + warpgroup * 64 + warp * 16 + lane / 4;
  int ahead = p.position + row;
  float out[V / 2] = {};
  float s[kKeys / 2];
  uint4 weights[8];
  Softmax softmax;
  RingPosition<kStages> keys;
  RingPosition<kStages> values;

  mbarrier_wait(shared.q_full(), 0);
  mbarrier_wait(shared.k_full(0), 0);
  products_begin();
  score<Nope, Rope, V>(shared.q(), shared.k(0), warpgroup, s);
  products_commit();
  products_wait<0>();
  if (lane == 0) mbarrier_arrive(shared.k_empty(0));
  keys.advance();
  softmax.update(s, p.scale_log2, ahead, lane);
  pack_weights(s, weights);
  for (int tile = 1; tile < tiles; ++tile) {
    ahead -= kKeys;
    mbarrier_wait(shared.k_full(keys.slot), keys.phase);
    products_begin();
    score<Nope, Rope, V>(shared.q(), shared.k(keys.slot), warpgroup, s);
    products_commit();
    mbarrier_wait(shared.v_full(values.slot), values.phase);
    products_begin();
    accumulate<V>(weights, shared.v(values.slot), out);
    products_commit();
    products_wait<1>();
    if (lane == 0) mbarrier_arrive(shared.k_empty(keys.slot));
    const float2 factor = softmax.update(s, p.scale_log2, ahead, lane);
    products_wait<0>();
    if (lane == 0) mbarrier_arrive(shared.v_empty(values.slot));
    rescale<V>(out, factor);
    pack_weights(s, weights);
    keys.advance();
    values.advance();
  }
  mbarrier_wait(shared.v_full(values.slot), values.phase);
  products_begin();
  accumulate<V>(weights, shared.v(values.slot), out);
  products_commit();
  products_wait<0>();
  store_rows<V>(p, head, row, lane, softmax, out);
}

template <int Nope, int Rope, int V>
__global__ void __launch_bounds__(kThreads, 1)
    flash_kernel(const __grid_constant__ FlashParams p, const __grid_constant__ Maps maps) {
  using H = Head<Nope, Rope, V>;
  extern __shared__ __align__(1024) std::byte memory[];
  const Shared<H> shared{shared_address(memory)};
  if (threadIdx.x == 0) shared.init_barriers();
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = __shfl_sync(~0U, static_cast<int>(threadIdx.x) / 32, 0);
  const int head = static_cast<int>(blockIdx.x);
  // The last queries have the most keys: they start first.
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kQueries;
  const int end = p.position + min(first + kQueries, p.tokens);
  const int tiles = (end + kKeys - 1) / kKeys;
  if (warp < 4) {
    give_registers<24>();
    if (warp == 0 && lane == 0) load_tiles<Nope, Rope, V>(p, maps, shared, head, first, tiles);
  } else {
    take_registers<240>();
    attend<Nope, Rope, V>(p, shared, head, first, tiles, warp / 4 - 1, lane);
  }
}

template <int Nope, int Rope, int V>
cudaError_t prepare_one() {
  return allow_shared(flash_kernel<Nope, Rope, V>, Head<Nope, Rope, V>::kShared);
}

cudaError_t encode_maps(const TensorMapEncoder& encoder, const FlashParams& p, int nope, int rope,
                        int v, Maps& maps) {
  const std::int64_t positions = p.position + p.tokens;
  const int q_width = p.heads * (nope + rope);
  const auto boxes = [&](const __nv_bfloat16* data, std::int64_t rows, int width, int box) {
    return TiledMatrix{data, rows, width, width, kKeys, box};
  };
  for (const cudaError_t error :
       {encoder.encode(boxes(p.q, p.tokens, q_width, kBoxColumns), maps.q_nope),
        encoder.encode(boxes(p.q, p.tokens, q_width, rope), maps.q_rope),
        encoder.encode(boxes(p.k_nope, positions, p.heads * nope, kBoxColumns), maps.k_nope),
        encoder.encode(boxes(p.latent, positions, p.kv_width, rope), maps.k_rope),
        encoder.encode(boxes(p.v, positions, p.heads * v, kBoxColumns), maps.v)}) {
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

template <int Nope, int Rope, int V>
cudaError_t launch_one(const TensorMapEncoder& encoder, const FlashParams& params,
                       cudaStream_t stream) {
  Maps maps;
  const cudaError_t error = encode_maps(encoder, params, Nope, Rope, V, maps);
  if (error != cudaSuccess) return error;
  const dim3 grid(params.heads, (params.tokens + kQueries - 1) / kQueries);
  return launch_kernel(flash_kernel<Nope, Rope, V>, grid, kThreads, Head<Nope, Rope, V>::kShared,
                       stream, params, maps);
}

}  // namespace

cudaError_t prepare_flash_wgmma() {
  const cudaError_t error = prepare_one<128, 64, 128>();
  return error == cudaSuccess ? prepare_one<64, 32, 64>() : error;
}

cudaError_t launch_flash_wgmma(const TensorMapEncoder& encoder, const FlashParams& params, int nope,
                               cudaStream_t stream) {
  return nope == 128 ? launch_one<128, 64, 128>(encoder, params, stream)
                     : launch_one<64, 32, 64>(encoder, params, stream);
}

}  // namespace caretd::kernels::cuda
