// Products on the warpgroups of compute capability 9.0. A block stays on its multiprocessor and
// walks tiles of 128 x kN results; one warp keeps a ring of stages (64 columns of K) filled, two
// warpgroups of 64 rows each multiply from it. X arrives swizzled by the tensor copy engine, W as
// the core matrices it is packed in. FP8 weights arrive in a ring of their own, from which one
// more warpgroup widens them into the stages.
#include <algorithm>

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/gemm_tiles.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"

namespace caretd::kernels::cuda {
namespace {

constexpr int kConsumerWarps = 8;
constexpr int kSliceK = 16;  // of one product

/// Shared memory and threads of an instantiation.
template <int kN, Format kFormat>
struct Shape {
  static constexpr bool kNarrow = kFormat == Format::fp8;
  static constexpr int kStages = (kN == 256 ? 4 : kN == 128 ? 6 : 8) - (kNarrow ? 1 : 0);
  static constexpr int kBytesX = kTileM * kTileK * 2;
  static constexpr int kBytesW = kN * kTileK * 2;
  static constexpr int kStageBytes = kBytesX + kBytesW;
  static constexpr int kNarrowSlots = kNarrow ? 4 : 1;
  static constexpr int kNarrowBytes = kNarrow ? kN * kTileK : 0;
  static constexpr int kBarriers = 2 * kStages + 2 * kNarrowSlots;
  static constexpr int kNarrowAt = kStages * kStageBytes;
  static constexpr int kBarriersAt = kNarrowAt + kNarrowSlots * kNarrowBytes;
  static constexpr int kGroupsAt = kBarriersAt + kBarriers * 8;
  static constexpr int kSharedBytes = kGroupsAt + (kMaxGroups + 1) * 4;
  static constexpr int kThreads = kNarrow ? 512 : 384;  // loaders, [wideners,] consumers
};

/// Addresses in the block's shared memory.
template <int kN, Format kFormat>
struct Shared {
  using S = Shape<kN, kFormat>;
  std::uint32_t base;

  [[nodiscard]] __device__ std::uint32_t x(int slot) const { return base + slot * S::kStageBytes; }
  [[nodiscard]] __device__ std::uint32_t w(int slot) const { return x(slot) + S::kBytesX; }
  [[nodiscard]] __device__ std::uint32_t narrow(int slot) const {
    return base + S::kNarrowAt + slot * S::kNarrowBytes;
  }
  [[nodiscard]] __device__ std::uint32_t full(int slot) const {
    return base + S::kBarriersAt + slot * 8;
  }
  [[nodiscard]] __device__ std::uint32_t empty(int slot) const { return full(S::kStages + slot); }
  [[nodiscard]] __device__ std::uint32_t narrow_full(int slot) const {
    return full(2 * S::kStages + slot);
  }
  [[nodiscard]] __device__ std::uint32_t narrow_empty(int slot) const {
    return full(2 * S::kStages + S::kNarrowSlots + slot);
  }

  __device__ void init_barriers() const {
    for (int i = 0; i < S::kStages; ++i) {
      mbarrier_init(full(i), 1 + (S::kNarrow ? 4 : 0));
      mbarrier_init(empty(i), kConsumerWarps);
    }
    for (int i = 0; i < S::kNarrowSlots; ++i) {
      mbarrier_init(narrow_full(i), 1);
      mbarrier_init(narrow_empty(i), 4);
    }
    mbarrier_init_fence();
  }
};

/// The matrices that tiles are copied from.
struct Maps {
  CUtensorMap x;
  CUtensorMap w;       ///< whole chunks
  CUtensorMap w_last;  ///< the narrower last chunk
};

/// Copies 64 columns of the tile's strips of W, zeros behind the last column.
template <int kN, Format kFormat>
__device__ __forceinline__ void copy_strips(const GemmParams& p, const Maps& maps, const Tile& tile,
                                            std::uint32_t to, int k, std::uint32_t barrier) {
  const PackedShape shape{kFormat, p.n, p.k};
  const int chunk = k / chunk_columns(kFormat);
  const bool whole = chunk < p.k / chunk_columns(kFormat);
  const int word = k % chunk_columns(kFormat) * kStripRows * element_bytes(kFormat) / 4;
  strips_copy(to, whole ? maps.w : maps.w_last, word, whole ? chunk : 0,
              tile.group * shape.tiles() + tile.col / kTileRows, barrier);
}

/// The thread that fills the stages: X, and BF16 weights.
template <int kN, Format kFormat>
__device__ void load_stages(const GemmParams& p, const Maps& maps,
                            const Shared<kN, kFormat>& shared, TileWalk<kN> walk) {
  using S = Shape<kN, kFormat>;
  RingPosition<S::kStages> ring;
  for (Tile tile; walk.next(p, tile);) {
    for (int k = 0; k < p.k; k += kTileK) {
      mbarrier_wait(shared.empty(ring.slot), ring.phase ^ 1);
      const std::uint32_t full = shared.full(ring.slot);
      mbarrier_arrive_expect(full, S::kNarrow ? S::kBytesX : S::kStageBytes);
      tile_copy(shared.x(ring.slot), maps.x, tile.row, k, full);
      if constexpr (!S::kNarrow) {
        copy_strips<kN, kFormat>(p, maps, tile, shared.w(ring.slot), k, full);
      }
      ring.advance();
    }
  }
}

/// The thread that brings FP8 weights.
template <int kN>
__device__ void load_narrow(const GemmParams& p, const Maps& maps,
                            const Shared<kN, Format::fp8>& shared, TileWalk<kN> walk) {
  using S = Shape<kN, Format::fp8>;
  RingPosition<S::kNarrowSlots> ring;
  for (Tile tile; walk.next(p, tile);) {
    for (int k = 0; k < p.k; k += kTileK) {
      mbarrier_wait(shared.narrow_empty(ring.slot), ring.phase ^ 1);
      const std::uint32_t full = shared.narrow_full(ring.slot);
      mbarrier_arrive_expect(full, S::kNarrowBytes);
      copy_strips<kN, Format::fp8>(p, maps, tile, shared.narrow(ring.slot), k, full);
      ring.advance();
    }
  }
}

/// Two E4M3 values times `scale`, as BF16.
__device__ __forceinline__ std::uint32_t widen_pair(std::uint32_t pair, float scale) {
  const __half2_raw halves =
      __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(pair), __NV_E4M3);
  const float2 values = __half22float2(__half2(halves));
  return pack_bf16(values.x * scale, values.y * scale);
}

/// Eight values, the lower half of 16 bytes first.
__device__ __forceinline__ uint4 widen_eight(std::uint32_t low, std::uint32_t high, float scale) {
  return make_uint4(widen_pair(low & 0xFFFFU, scale), widen_pair(low >> 16, scale),
                    widen_pair(high & 0xFFFFU, scale), widen_pair(high >> 16, scale));
}

/// Widens one stage: a warp takes every fourth strip, a lane 16 bytes of one of its rows. `scale`
/// of lane i is that of the warp's i-th strip.
template <int kN>
__device__ __forceinline__ void widen_stage(std::uint32_t from, std::uint32_t to, float scale,
                                            int warp, int lane) {
  constexpr int kStrips = kN / 32;
  uint4 in[kStrips];
#pragma unroll
  for (int i = 0; i < kStrips; ++i) {
    in[i] = load_shared_16(from + (i * 4 + warp) * kStripRows * kTileK + lane * 16);
  }
#pragma unroll
  for (int i = 0; i < kStrips; ++i) {
    const float s = __shfl_sync(~0U, scale, i);
    const uint4 low = widen_eight(in[i].x, in[i].y, s);
    const uint4 high = widen_eight(in[i].z, in[i].w, s);
    // 16 FP8 columns of a row are two core matrices of BF16.
    const std::uint32_t out =
        to + (i * 4 + warp) * kStripRows * kTileK * 2 + lane / 8 * 256 + lane % 8 * 16;
    store_shared_16(out, low);
    store_shared_16(out + 128, high);
  }
}

/// The warpgroup between the FP8 ring and the stages.
template <int kN>
__device__ void widen_stages(const GemmParams& p, const Shared<kN, Format::fp8>& shared,
                             TileWalk<kN> walk, int warp, int lane) {
  using S = Shape<kN, Format::fp8>;
  const PackedShape shape{Format::fp8, p.n, p.k};
  RingPosition<S::kStages> stage;
  RingPosition<S::kNarrowSlots> narrow;
  for (Tile tile; walk.next(p, tile);) {
    const std::byte* weights = p.weights + tile.group * shape.bytes();
    // The lane's strip; lanes beyond the last one repeat it.
    const int row = min(tile.col + (lane % (kN / 32) * 4 + warp) * kStripRows, p.n - kStripRows);
    const auto scale_at = [&](int k) {
      const int col = min(k, p.k - 1);
      return __ldg(reinterpret_cast<const float*>(weights + shape.scale_offset(row, col))) /
             kFp8WeightScale;
    };
    float next_scale = scale_at(0);
    for (int k = 0; k < p.k; k += kTileK) {
      const float scale = next_scale;
      next_scale = scale_at(k + kTileK);
      mbarrier_wait(shared.narrow_full(narrow.slot), narrow.phase);
      mbarrier_wait(shared.empty(stage.slot), stage.phase ^ 1);
      widen_stage<kN>(shared.narrow(narrow.slot), shared.w(stage.slot), scale, warp, lane);
      fence_shared_for_copies();
      __syncwarp();
      if (lane == 0) {
        mbarrier_arrive(shared.full(stage.slot));
        mbarrier_arrive(shared.narrow_empty(narrow.slot));
      }
      stage.advance();
      narrow.advance();
    }
  }
}

/// Adds a stage's products to acc; queued, not waited for.
template <int kN>
__device__ __forceinline__ void multiply_stage(std::uint32_t x, std::uint32_t w, bool add,
                                               float (&acc)[kN / 2]) {
  const std::uint64_t a = shared_operand(x, 16, 1024, SharedLayout::swizzle_128);
  const std::uint64_t b =
      shared_operand(w, 128, kStripRows * kTileK * 2, SharedLayout::core_matrices);
#pragma unroll
  for (int slice = 0; slice < kTileK / kSliceK; ++slice) {
    multiply_shared(acc, operand_at(a, slice * 32), operand_at(b, slice * 256), add || slice > 0);
  }
}

/// All of K of one tile for a warpgroup's 64 rows.
template <int kN, Format kFormat>
__device__ __forceinline__ void multiply_tile(const GemmParams& p,
                                              const Shared<kN, kFormat>& shared,
                                              RingPosition<Shape<kN, kFormat>::kStages>& ring,
                                              int warpgroup, int lane, float (&acc)[kN / 2]) {
  std::uint32_t used = 0;
  for (int k = 0; k < p.k; k += kTileK) {
    mbarrier_wait(shared.full(ring.slot), ring.phase);
    products_begin();
    multiply_stage<kN>(shared.x(ring.slot) + warpgroup * 64 * kTileK * 2, shared.w(ring.slot),
                       k > 0, acc);
    products_commit();
    products_wait<1>();
    if (k > 0 && lane == 0) mbarrier_arrive(used);
    used = shared.empty(ring.slot);
    ring.advance();
  }
  products_wait<0>();
  if (lane == 0) mbarrier_arrive(used);
}

/// Lets the ring pass where a warpgroup has no rows.
template <int kN, Format kFormat>
__device__ __forceinline__ void skip_tile(const GemmParams& p, const Shared<kN, kFormat>& shared,
                                          RingPosition<Shape<kN, kFormat>::kStages>& ring,
                                          int lane) {
  for (int k = 0; k < p.k; k += kTileK) {
    mbarrier_wait(shared.full(ring.slot), ring.phase);
    if (lane == 0) mbarrier_arrive(shared.empty(ring.slot));
    ring.advance();
  }
}

template <int kN, Format kFormat>
__device__ void consume(const GemmParams& p, const Shared<kN, kFormat>& shared, TileWalk<kN> walk,
                        int warpgroup, int lane) {
  RingPosition<Shape<kN, kFormat>::kStages> ring;
  for (Tile tile; walk.next(p, tile);) {
    const int row = tile.row + warpgroup * 64;
    if (row >= tile.end) {
      skip_tile<kN, kFormat>(p, shared, ring, lane);
      continue;
    }
    float acc[kN / 2];
    multiply_tile<kN, kFormat>(p, shared, ring, warpgroup, lane, acc);
    const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
    store_tile<kN>(p, tile, row + warp * 16 + lane / 4, lane, acc);
  }
}

template <int kN, Format kFormat>
__global__ void __launch_bounds__(Shape<kN, kFormat>::kThreads, 1)
    gemm_kernel(const __grid_constant__ GemmParams p, const __grid_constant__ Maps maps) {
  using S = Shape<kN, kFormat>;
  extern __shared__ __align__(1024) std::byte memory[];
  const Shared<kN, kFormat> shared{shared_address(memory)};
  int* groups = reinterpret_cast<int*>(memory + S::kGroupsAt);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.init_barriers();
  copy_groups(p, groups, thread, S::kThreads);
  __syncthreads();
  const TileWalk<kN> walk(groups);
  const int lane = thread % 32;
  const int warp = __shfl_sync(~0U, thread / 32, 0);  // known to be uniform
  if constexpr (S::kNarrow) {
    if (warp < 4) {
      give_registers<40>();
      if (warp == 0 && lane == 0) load_stages<kN, kFormat>(p, maps, shared, walk);
      if (warp == 1 && lane == 0) load_narrow<kN>(p, maps, shared, walk);
    } else if (warp < 8) {
      give_registers<96>();
      widen_stages<kN>(p, shared, walk, warp - 4, lane);
    } else {
      take_registers<160>();
      consume<kN, kFormat>(p, shared, walk, warp / 4 - 2, lane);
    }
  } else {
    if (warp < 4) {
      give_registers<40>();
      if (warp == 0 && lane == 0) load_stages<kN, kFormat>(p, maps, shared, walk);
    } else {
      take_registers<232>();
      consume<kN, kFormat>(p, shared, walk, warp / 4 - 1, lane);
    }
  }
}

template <int kN, Format kFormat>
cudaError_t prepare_one() {
  return allow_shared(gemm_kernel<kN, kFormat>, Shape<kN, kFormat>::kSharedBytes);
}

cudaError_t encode_maps(const TensorMapEncoder& encoder, const GemmParams& p, int n, Maps& maps) {
  cudaError_t error = encoder.encode({p.x, p.rows, p.k, p.x_pitch, kTileM, kTileK}, maps.x);
  if (error != cudaSuccess) return error;
  PackedMatrices w{p.weights, {p.format, p.n, p.k}, std::max(p.groups, 1), false, n, kTileK};
  const int chunk = chunk_columns(p.format);
  w.last_chunk = p.k < chunk;
  error = encoder.encode(w, maps.w);
  if (error != cudaSuccess) return error;
  w.last_chunk = p.k % chunk != 0;
  return encoder.encode(w, maps.w_last);
}

template <int kN, Format kFormat>
cudaError_t launch_one(const GemmDevice& device, const GemmParams& params, cudaStream_t stream) {
  using S = Shape<kN, kFormat>;
  Maps maps;
  const cudaError_t error = encode_maps(device.encoder, params, kN, maps);
  if (error != cudaSuccess) return error;
  return launch_kernel(gemm_kernel<kN, kFormat>, device.multiprocessors, S::kThreads,
                       S::kSharedBytes, stream, params, maps);
}

/// Columns of the tiles to take: wide ones read less and are multiplied faster, narrow ones leave
/// fewer multiprocessors idle. Groups are taken as equally long.
int tile_columns(const GemmParams& p, int multiprocessors) {
  struct Kind {
    int columns;
    double cost;  ///< of a column where all are busy, about; relative to the widest tiles
  };
  constexpr Kind kKinds[] = {{256, 1.0}, {128, 1.1}, {64, 1.35}};
  const int groups = std::max(p.groups, 1);
  const int tiles_m = (p.rows + groups * kTileM - 1) / (groups * kTileM) * groups;
  int best = 0;
  double least = 0;
  for (const Kind& kind : kKinds) {
    // With four warpgroups a thread has too few registers for the widest tiles.
    if (p.format == Format::fp8 && kind.columns == 256) continue;
    const int tiles = tiles_m * ((p.n + kind.columns - 1) / kind.columns);
    const int rounds = (tiles + multiprocessors - 1) / multiprocessors;
    const double cost = rounds * kind.columns * kind.cost;
    if (best == 0 || cost < least) {
      best = kind.columns;
      least = cost;
    }
  }
  return best;
}

template <Format kFormat>
cudaError_t launch_narrow(const GemmDevice& device, const GemmParams& params, int columns,
                          cudaStream_t stream) {
  return columns == 128 ? launch_one<128, kFormat>(device, params, stream)
                        : launch_one<64, kFormat>(device, params, stream);
}

}  // namespace

cudaError_t prepare_gemm_wgmma() {
  for (const cudaError_t error : {prepare_one<64, Format::bf16>(), prepare_one<128, Format::bf16>(),
                                  prepare_one<256, Format::bf16>(), prepare_one<64, Format::fp8>(),
                                  prepare_one<128, Format::fp8>()}) {
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t launch_gemm_wgmma(const GemmDevice& device, const GemmParams& params,
                              cudaStream_t stream) {
  if (params.groups > kMaxGroups) return cudaErrorInvalidValue;
  const int columns = tile_columns(params, device.multiprocessors);
  if (params.format == Format::fp8) {
    return launch_narrow<Format::fp8>(device, params, columns, stream);
  }
  return columns == 256 ? launch_one<256, Format::bf16>(device, params, stream)
                        : launch_narrow<Format::bf16>(device, params, columns, stream);
}

}  // namespace caretd::kernels::cuda
