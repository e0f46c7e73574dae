#include "kernels/cuda/flash.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"

namespace caretd::kernels::cuda {
namespace {

constexpr int kQueries = 128;  // of a block: eight warps of 16
constexpr int kKeys = 32;      // of a tile: two of them and the queries are 92 KB at most
constexpr int kThreads = 256;

/// Sizes of a head and of the shared memory; row pitches are odd multiples of 16 bytes.
template <int Nope, int Rope, int V>
struct Head {
  static constexpr int kDim = Nope + Rope;
  static constexpr int kPitchK = kDim * 2 + 16;
  static constexpr int kPitchV = V * 2 + 16;
  static constexpr int kBytesQ = kQueries * kPitchK;
  static constexpr int kBytesK = kKeys * kPitchK;
  static constexpr int kBytesTile = kBytesK + kKeys * kPitchV;
  static constexpr int kShared = kBytesQ + 2 * kBytesTile;
};

template <class H, int Nope, int Rope, int V>
__device__ void load_tile(const FlashParams& p, std::uint32_t to, int head, int begin, int end) {
  constexpr int kPiecesK = H::kDim / 8;
  for (int i = threadIdx.x; i < kKeys * kPiecesK; i += kThreads) {
    const int row = begin + i / kPiecesK;
    const int col = i % kPiecesK * 8;
    const std::int64_t at = row < end ? row : 0;
    const __nv_bfloat16* from = col < Nope ? p.k_nope + (at * p.heads + head) * Nope + col
                                           : p.latent + at * p.kv_width + p.kv_rank + col - Nope;
    copy_async_16(to + i / kPiecesK * H::kPitchK + col * 2, from, row < end);
  }
  constexpr int kPiecesV = V / 8;
  for (int i = threadIdx.x; i < kKeys * kPiecesV; i += kThreads) {
    const int row = begin + i / kPiecesV;
    const std::int64_t at = row < end ? row : 0;
    copy_async_16(to + H::kBytesK + i / kPiecesV * H::kPitchV + i % kPiecesV * 16,
                  p.v + (at * p.heads + head) * V + i % kPiecesV * 8, row < end);
  }
}

/// s = q k^T of a warp's 16 queries and the tile's keys.
template <class H>
__device__ __forceinline__ void score(std::uint32_t q, std::uint32_t k, int lane,
                                      float (&s)[kKeys / 8][4]) {
#pragma unroll
  for (auto& row : s) row[0] = row[1] = row[2] = row[3] = 0.0F;
  const std::uint32_t a = q + lane % 16 * H::kPitchK + lane / 16 * 16;
  const std::uint32_t b = k + (lane / 16 * 8 + lane % 8) * H::kPitchK + lane / 8 % 2 * 16;
#pragma unroll 4
  for (int step = 0; step < H::kDim / 16; ++step) {
    const uint4 query = load_matrix_x4(a + step * 32);
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
      const uint4 key = load_matrix_x4(b + n * 8 * H::kPitchK + step * 32);
      multiply_accumulate(s[n], query, key.x, key.y);
      multiply_accumulate(s[n + 1], query, key.z, key.w);
    }
  }
}

/// Online softmax of two query rows (g and g + 8 of a warp); returns the factors of what was
/// before.
struct Softmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};

  __device__ __forceinline__ float2 update(float (&s)[kKeys / 8][4], float scale, int first_key,
                                           int visible_low, int visible_high, int lane) {
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int visible = half == 0 ? visible_low : visible_high;
      float best = maximum[half];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int key = first_key + n * 8 + lane % 4 * 2 + i;
          float& value = s[n][half * 2 + i];
          value = key <= visible ? value * scale : -INFINITY;
          best = fmaxf(best, value);
        }
      }
      best = fmaxf(best, __shfl_xor_sync(~0U, best, 1));
      best = fmaxf(best, __shfl_xor_sync(~0U, best, 2));
      const float base = best == -INFINITY ? 0.0F : best;
      factor[half] = exp2f(maximum[half] - base);
      maximum[half] = best;
      float total = 0.0F;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& value = s[n][half * 2 + i];
          value = exp2f(value - base);
          total += value;
        }
      }
      sum[half] = sum[half] * factor[half] + total;
    }
    return make_float2(factor[0], factor[1]);
  }
};

/// out += weights v of the tile.
template <class H, int V>
__device__ __forceinline__ void accumulate(std::uint32_t v, int lane,
                                           const float (&s)[kKeys / 8][4], float (&out)[V / 8][4]) {
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    const float(&low)[4] = s[step * 2];
    const float(&high)[4] = s[step * 2 + 1];
    const uint4 weights = make_uint4(pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]),
                                     pack_bf16(high[0], high[1]), pack_bf16(high[2], high[3]));
    const std::uint32_t b = v + (step * 16 + lane % 16) * H::kPitchV + lane / 16 * 16;
#pragma unroll
    for (int n = 0; n < V / 8; n += 2) {
      const uint4 value = load_matrix_x4_transposed(b + n * 16);
      multiply_accumulate(out[n], weights, value.x, value.y);
      multiply_accumulate(out[n + 1], weights, value.z, value.w);
    }
  }
}

template <int Nope, int Rope, int V>
__global__ void __launch_bounds__(kThreads, 1) flash_kernel(const FlashParams p) {
  using H = Head<Nope, Rope, V>;
  CARETD_DYNAMIC_SHARED(memory);
  const std::uint32_t q = shared_address(memory);
  const std::uint32_t tiles = q + H::kBytesQ;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.x);
  // The last queries have the most keys: they start first.
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kQueries;
  const int end = min(p.position + first + kQueries, p.position + p.tokens);

  constexpr int kPieces = H::kDim / 8;
  for (int i = threadIdx.x; i < kQueries * kPieces; i += kThreads) {
    const std::int64_t row = first + i / kPieces;
    copy_async_16(q + i / kPieces * H::kPitchK + i % kPieces * 16,
                  p.q + ((row < p.tokens ? row : 0) * p.heads + head) * H::kDim + i % kPieces * 8,
                  row < p.tokens);
  }
  load_tile<H, Nope, Rope, V>(p, tiles, head, 0, end);
  copy_async_commit();

  float out[V / 8][4] = {};
  Softmax softmax;
  const int visible = p.position + first + warp * 16 + lane / 4;
  for (int begin = 0, buffer = 0; begin < end; begin += kKeys, buffer ^= 1) {
    copy_async_wait<0>();
    __syncthreads();
    if (begin + kKeys < end) {
      load_tile<H, Nope, Rope, V>(p, tiles + (buffer ^ 1) * H::kBytesTile, head, begin + kKeys,
                                  end);
      copy_async_commit();
    }
    const std::uint32_t tile = tiles + buffer * H::kBytesTile;
    float s[kKeys / 8][4];
    score<H>(q + warp * 16 * H::kPitchK, tile, lane, s);
    const float2 factor = softmax.update(s, p.scale_log2, begin, visible, visible + 8, lane);
#pragma unroll
    for (auto& o : out) {
      o[0] *= factor.x;
      o[1] *= factor.x;
      o[2] *= factor.y;
      o[3] *= factor.y;
    }
    accumulate<H, V>(tile + H::kBytesK, lane, s, out);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
    const std::int64_t row = first + warp * 16 + lane / 4 + half * 8;
    if (row >= p.tokens) continue;
    const float inverse = 1.0F / sum;
#pragma unroll
    for (int n = 0; n < V / 8; ++n) {
      *reinterpret_cast<std::uint32_t*>(p.out + (row * p.heads + head) * V + n * 8 + lane % 4 * 2) =
          pack_bf16(out[n][half * 2] * inverse, out[n][half * 2 + 1] * inverse);
    }
  }
}

template <int Nope, int Rope, int V>
cudaError_t prepare_one() {
  return allow_shared(flash_kernel<Nope, Rope, V>, Head<Nope, Rope, V>::kShared);
}

template <int Nope, int Rope, int V>
cudaError_t launch_one(const FlashParams& params, cudaStream_t stream) {
  const dim3 grid(params.heads, (params.tokens + kQueries - 1) / kQueries);
  return launch_kernel(flash_kernel<Nope, Rope, V>, grid, kThreads, Head<Nope, Rope, V>::kShared,
                       stream, params);
}

}  // namespace

cudaError_t prepare_flash_mma() {
  const cudaError_t error = prepare_one<128, 64, 128>();
  return error == cudaSuccess ? prepare_one<64, 32, 64>() : error;
}

cudaError_t launch_flash_mma(const FlashParams& params, int nope, cudaStream_t stream) {
  return nope == 128 ? launch_one<128, 64, 128>(params, stream)
                     : launch_one<64, 32, 64>(params, stream);
}

}  // namespace caretd::kernels::cuda
