#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"

namespace caretd::kernels::cuda {
namespace {

// A block computes 128 rows x 128 columns with eight warps of 64 x 32; stages of 32 columns of K.
constexpr int kTileM = 128;
constexpr int kTileN = 128;
constexpr int kTileK = 32;
constexpr int kStages = 4;
constexpr int kThreads = 256;
constexpr int kRowBytes = kTileK * 2 + 16;  // odd multiple of 16: ldmatrix meets no bank twice
constexpr int kBytesX = kTileM * kRowBytes;
constexpr int kBytesW = kTileN * kTileK * 2;
constexpr int kStageBytes = kBytesX + kBytesW;
constexpr int kSharedBytes = kStages * kStageBytes;

/// The block's rows [first, end) of the result and its matrix.
struct Work {
  int first;
  int end;
  const std::byte* weights;
};

/// Finds the row tile among the groups; first >= end where there is none.
__device__ Work find_work(const GemmParams& p) {
  int tile = static_cast<int>(blockIdx.x);
  if (p.groups == 0) return {tile * kTileM, p.rows, p.weights};
  const std::int64_t bytes = PackedShape{Format::bf16, p.n, p.k}.bytes();
  for (int group = 0; group < p.groups; ++group) {
    const int begin = p.group_begin[group];
    const int end = p.group_begin[group + 1];
    const int tiles = (end - begin + kTileM - 1) / kTileM;
    if (tile < tiles) return {begin + tile * kTileM, end, p.weights + group * bytes};
    tile -= tiles;
  }
  return {0, 0, nullptr};
}

/// Starts the copies of one stage: X rows as they are, W strips of core matrices.
__device__ void load_stage(const GemmParams& p, const Work& work, std::uint32_t to, int n0, int k) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kTileM * 4 / kThreads; ++i) {
    const int piece = thread + i * kThreads;
    const int row = work.first + piece / 4;
    const bool valid = row < work.end;
    const std::int64_t source = valid ? row : 0;
    copy_async_16(to + piece / 4 * kRowBytes + piece % 4 * 16,
                  p.x + source * p.x_pitch + k + piece % 4 * 8, valid);
  }
  const PackedShape shape{Format::bf16, p.n, p.k};
#pragma unroll
  for (int i = 0; i < kTileN * 4 / kThreads; ++i) {
    // Pieces of 16 bytes: strip of 8 rows, core of 8 columns, row.
    const int piece = thread + i * kThreads;
    const int row = piece / 32 * 8 + piece % 8;
    const int core = piece / 8 % 4;
    const bool valid = n0 + row < shape.tiles() * kTileRows;
    copy_async_16(to + kBytesX + piece * 16,
                  work.weights + (valid ? shape.offset(n0 + row, k + core * 8) : 0), valid);
  }
}

/// acc[m][n] of a warp: 4 x 16 rows, 4 x 8 columns.
__device__ __forceinline__ void multiply_stage(std::uint32_t at, float (&acc)[4][4][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::uint32_t x = at + (warp / 4 * 64 + lane % 16) * kRowBytes + lane / 16 * 16;
  // Four matrices of W: two strips of 8 columns of the result, two cores of 8 columns of K.
  const std::uint32_t w =
      at + kBytesX + (warp % 4 * 4 + lane / 16) * 512 + lane / 8 % 2 * 128 + lane % 8 * 16;
#pragma unroll
  for (int step = 0; step < kTileK / 16; ++step) {
    uint4 a[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) a[m] = load_matrix_x4(x + m * 16 * kRowBytes + step * 32);
#pragma unroll
    for (int n = 0; n < 4; n += 2) {
      const uint4 b = load_matrix_x4(w + n * 512 + step * 256);
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        multiply_accumulate(acc[m][n], a[m], b.x, b.y);
        multiply_accumulate(acc[m][n + 1], a[m], b.z, b.w);
      }
    }
  }
}

/// Two neighbouring columns of a row.
__device__ __forceinline__ void store_pair(const GemmParams& p, std::int64_t row, int col, float a,
                                           float b) {
  if (p.result == GemmResult::residual) {
    float2* out = reinterpret_cast<float2*>(p.out_f32 + row * p.n + col);
    *out = make_float2(out->x + a, out->y + b);
  } else if (p.result == GemmResult::split && col >= p.split) {
    *reinterpret_cast<float2*>(p.out_f32 + row * (p.n - p.split) + col - p.split) =
        make_float2(a, b);
  } else {
    const int pitch = p.result == GemmResult::split ? p.split : p.n;
    *reinterpret_cast<std::uint32_t*>(p.out_bf16 + row * pitch + col) = pack_bf16(a, b);
  }
}

__device__ __forceinline__ float gated(float gate, float up) {
  return gate / (1.0F + __expf(-gate)) * up;
}

__device__ void store_results(const GemmParams& p, const Work& work, int n0,
                              const float (&acc)[4][4][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = work.first + warp / 4 * 64 + m * 16 + lane / 4 + half * 8;
      if (row >= work.end) continue;
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int col = n0 + warp % 4 * 32 + n * 8 + lane % 4 * 2;
        if (col >= p.n) continue;
        if (p.result != GemmResult::gated) {
          store_pair(p, row, col, acc[m][n][half * 2], acc[m][n][half * 2 + 1]);
        } else if (n % 2 == 0) {
          const int unit = (col - lane % 4 * 2) / 2 + lane % 4 * 2;
          *reinterpret_cast<std::uint32_t*>(p.out_bf16 + std::int64_t{row} * (p.n / 2) + unit) =
              pack_bf16(gated(acc[m][n][half * 2], acc[m][n + 1][half * 2]),
                        gated(acc[m][n][half * 2 + 1], acc[m][n + 1][half * 2 + 1]));
        }
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2) gemm_kernel(const GemmParams p) {
  CARETD_DYNAMIC_SHARED(memory);
  const Work work = find_work(p);
  if (work.first >= work.end) return;
  const int n0 = static_cast<int>(blockIdx.y) * kTileN;
  const std::uint32_t stages = shared_address(memory);
  const int steps = p.k / kTileK;
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < steps) load_stage(p, work, stages + i * kStageBytes, n0, i * kTileK);
    copy_async_commit();
  }
  float acc[4][4][4] = {};
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    const int next = step + kStages - 1;
    if (next < steps) {
      load_stage(p, work, stages + next % kStages * kStageBytes, n0, next * kTileK);
    }
    copy_async_commit();
    multiply_stage(stages + step % kStages * kStageBytes, acc);
  }
  store_results(p, work, n0, acc);
}

}  // namespace

cudaError_t prepare_gemm_mma() {
  return allow_shared(gemm_kernel, kSharedBytes);
}

cudaError_t launch_gemm_mma(const GemmParams& params, cudaStream_t stream) {
  const int tiles = (params.rows + kTileM - 1) / kTileM + params.groups;
  const dim3 grid(tiles, (params.n + kTileN - 1) / kTileN);
  return launch_kernel(gemm_kernel, grid, kThreads, kSharedBytes, stream, params);
}

}  // namespace caretd::kernels::cuda
