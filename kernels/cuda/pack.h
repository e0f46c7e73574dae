// Bringing weights into the packed layout (layout.h) on the device, and filling it with random
// ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/layout.h"

namespace caretd::kernels::cuda {

enum class SourceType : std::uint8_t { f32, f16, bf16, f8_e4m3 };

/// Rows of a checkpoint matrix in device memory, row-major with `pitch` elements a row. With
/// scales, element (r, c) counts scales[(first_row + r) / block_rows * scale_cols + (first_col + c)
/// / block_cols] times; first_row and first_col say where the rows were cut out of the tensor.
struct SourceRows {
  SourceType type = SourceType::bf16;
  const std::byte* data = nullptr;
  int rows = 0;
  int cols = 0;
  int pitch = 0;
  const float* scales = nullptr;
  int block_rows = 1;
  int block_cols = 1;
  int scale_cols = 1;
  int first_row = 0;
  int first_col = 0;
};

/// Which rows of the packed matrix the source rows become.
enum class RowOrder : std::uint8_t { plain, gate, up };

/// Packs source rows as rows to_row, to_row + 1, ... (after `order`) of `to`. FP8 destinations need
/// FP8 sources with scale blocks of a multiple of 8 rows and 128 columns.
[[nodiscard]] cudaError_t pack_rows(const SourceRows& from, std::byte* to, const PackedShape& shape,
                                    RowOrder order, int to_row, cudaStream_t stream);

/// kv_b rows of whole heads: [nope | v] rows a head, kv_rank columns. The key half goes to heads
/// [nope, kv_rank] and, transposed, to heads [kv_rank, nope], the value half to heads [v, kv_rank];
/// all BF16.
[[nodiscard]] cudaError_t pack_kv_b(const SourceRows& from, int first_head, int nope, int v,
                                    std::byte* key, std::byte* absorb, std::byte* value,
                                    cudaStream_t stream);

/// Row-major copies: BF16 (embedding) and float32 (norms, router).
[[nodiscard]] cudaError_t convert_rows(const SourceRows& from, __nv_bfloat16* to,
                                       cudaStream_t stream);
[[nodiscard]] cudaError_t convert_rows(const SourceRows& from, float* to, cudaStream_t stream);

/// Packed FP8 to packed BF16 of the same shape.
[[nodiscard]] cudaError_t widen_packed(const std::byte* from, std::byte* to, int rows, int cols,
                                       cudaStream_t stream);

/// to [experts, out.cols] = router [experts, out.rows] * diag(norm) * out, in float32: the router
/// behind the output projection, seen from what goes into the projection.
[[nodiscard]] cudaError_t fold_router(const float* router, const float* norm, int experts,
                                      const std::byte* out, const PackedShape& shape, float* to,
                                      cudaStream_t stream);

/// Uniform random weights with the given standard deviation; a function of the seed alone.
[[nodiscard]] cudaError_t fill_random_packed(std::byte* to, const PackedShape& shape,
                                             float deviation, std::uint64_t seed,
                                             cudaStream_t stream);
[[nodiscard]] cudaError_t fill_random(__nv_bfloat16* to, std::int64_t count, float deviation,
                                      std::uint64_t seed, cudaStream_t stream);
[[nodiscard]] cudaError_t fill_random(float* to, std::int64_t count, float deviation,
                                      std::uint64_t seed, cudaStream_t stream);
[[nodiscard]] cudaError_t fill_ones(float* to, std::int64_t count, cudaStream_t stream);

/// cos and sin of position * frequency[i] times `multiplier`, computed in float64.
/// table [positions, pairs]; frequencies are in device memory.
[[nodiscard]] cudaError_t fill_rotary(float2* table, int positions, int pairs,
                                      const double* frequencies, double multiplier,
                                      cudaStream_t stream);

}  // namespace caretd::kernels::cuda
