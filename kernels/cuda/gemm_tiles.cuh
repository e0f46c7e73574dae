// What surrounds the products of gemm_wgmma.cu: which tiles a block computes, and where their
// results go.
#pragma once

#include "kernels/cuda/gemm.h"
#include "kernels/cuda/hopper.cuh"

namespace caretd::kernels::cuda {

inline constexpr int kTileM = 128;
inline constexpr int kTileK = 64;
inline constexpr int kMaxGroups = 256;
inline constexpr int kBandTiles = 16;  ///< row tiles that are walked together, for the L2 cache

/// 128 rows x kN columns of the result.
struct Tile {
  int row = 0;
  int end = 0;  ///< rows of the group end here
  int col = 0;
  int group = 0;
};

/// Brings the groups' first rows into shared memory.
__device__ __forceinline__ void copy_groups(const GemmParams& p, int* groups, int thread,
                                            int threads) {
  if (p.groups == 0) {
    if (thread == 0) {
      groups[0] = 0;
      groups[1] = p.rows;
    }
    return;
  }
  for (int i = thread; i <= p.groups; i += threads) groups[i] = p.group_begin[i];
}

/// The tiles of a block, in the order in which all its warps take them: tile b, b + blocks, ...
/// where the tiles of a group follow those of the group before.
template <int kN>
class TileWalk {
 public:
  __device__ explicit TileWalk(const int* groups)
      : groups_(groups), index_(static_cast<int>(blockIdx.x)) {}

  __device__ __forceinline__ bool next(const GemmParams& p, Tile& tile) {
    const int count = p.groups > 0 ? p.groups : 1;
    const int columns = (p.n + kN - 1) / kN;
    for (; group_ < count; ++group_) {
      const int begin = groups_[group_];
      const int end = groups_[group_ + 1];
      const int rows = (end - begin + kTileM - 1) / kTileM;
      const int at = index_ - first_;
      if (at < rows * columns) {
        const int band = at / (kBandTiles * columns);
        const int within = at % (kBandTiles * columns);
        const int height = min(kBandTiles, rows - band * kBandTiles);
        tile.row = begin + (band * kBandTiles + within % height) * kTileM;
        tile.end = end;
        tile.col = within / height * kN;
        tile.group = group_;
        index_ += static_cast<int>(gridDim.x);
        return true;
      }
      first_ += rows * columns;
    }
    return false;
  }

 private:
  const int* groups_;
  int index_;
  int group_ = 0;
  int first_ = 0;
};

__device__ __forceinline__ float gated(float gate, float up) {
  return __fdividef(gate, 1.0F + __expf(-gate)) * up;
}

/// Two results of a row, columns 2 t and 2 t + 1 of strip j.
template <int kN>
__device__ __forceinline__ std::uint32_t pair_of(const float (&acc)[kN / 2], int j, int half) {
  return pack_bf16(acc[j * 4 + half * 2], acc[j * 4 + half * 2 + 1]);
}
template <int kN>
__device__ __forceinline__ std::uint32_t gated_pair_of(const float (&acc)[kN / 2], int j,
                                                       int half) {
  const int gate = j * 4 + half * 2;
  return pack_bf16(gated(acc[gate], acc[gate + 4]), gated(acc[gate + 1], acc[gate + 5]));
}

template <int kN>
__device__ __forceinline__ void store_bf16(const GemmParams& p, const Tile& tile, int row, int lane,
                                           int pitch, const float (&acc)[kN / 2]) {
#pragma unroll
  for (int j = 0; j < kN / 8; j += 2) {
    const int col = tile.col + j * 8;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = row + half * 8;
      store_sixteen(p.out_bf16 + r * pitch + col, r < tile.end && col < pitch,
                    pair_of<kN>(acc, j, half), pair_of<kN>(acc, j + 1, half), lane);
    }
  }
}

template <int kN>
__device__ __forceinline__ void store_gated(const GemmParams& p, const Tile& tile, int row,
                                            int lane, const float (&acc)[kN / 2]) {
#pragma unroll
  for (int j = 0; j < kN / 8; j += 4) {
    const int unit = tile.col / 2 + j * 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t r = row + half * 8;
      store_sixteen(p.out_bf16 + r * (p.n / 2) + unit, r < tile.end && unit < p.n / 2,
                    gated_pair_of<kN>(acc, j, half), gated_pair_of<kN>(acc, j + 2, half), lane);
    }
  }
}

/// Columns from `first` on, as float32. Added without reading: no other block adds to the same
/// elements, so the result does not depend on the order.
template <int kN, bool kAdd>
__device__ __forceinline__ void store_f32(const GemmParams& p, const Tile& tile, int row, int lane,
                                          int first, const float (&acc)[kN / 2]) {
  const int pitch = p.n - first;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t r = row + half * 8;
    if (r >= tile.end) continue;
    float* out = p.out_f32 + r * pitch - first + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < kN / 8; ++j) {
      const int col = tile.col + j * 8;
      const float* pair = acc + j * 4 + half * 2;
      if (col < first || col >= p.n) continue;
      if (kAdd) {
        add_to_pair(out + col, pair[0], pair[1]);
      } else {
        *reinterpret_cast<float2*>(out + col) = make_float2(pair[0], pair[1]);
      }
    }
  }
}

/// Results of a warp: a lane's are in rows `row` and `row` + 8.
template <int kN>
__device__ __forceinline__ void store_tile(const GemmParams& p, const Tile& tile, int row, int lane,
                                           const float (&acc)[kN / 2]) {
  switch (p.result) {
    case GemmResult::bf16:
      return store_bf16<kN>(p, tile, row, lane, p.n, acc);
    case GemmResult::gated:
      return store_gated<kN>(p, tile, row, lane, acc);
    case GemmResult::residual:
      return store_f32<kN, true>(p, tile, row, lane, 0, acc);
    case GemmResult::split:
      if (tile.col < p.split) store_bf16<kN>(p, tile, row, lane, p.split, acc);
      if (tile.col + kN > p.split) store_f32<kN, false>(p, tile, row, lane, p.split, acc);
      return;
  }
}

}  // namespace caretd::kernels::cuda
