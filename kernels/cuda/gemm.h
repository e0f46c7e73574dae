// Matrix products of many tokens with packed BF16 weights, for prefill: C = X W^T.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/layout.h"

namespace caretd::kernels::cuda {

/// What happens to a row of results.
enum class GemmResult : std::uint8_t {
  bf16,      ///< out_bf16 [rows, n]
  split,     ///< columns below `split` to out_bf16 [rows, split], the others to out_f32
  residual,  ///< added to out_f32 [rows, n]
  gated,     ///< interleaved gate and up (layout.h): silu(gate) * up to out_bf16 [rows, n / 2]
};

/// Rows of X are tokens, or through `gather` any choice of them; groups of rows (experts) may have
/// a matrix each.
struct GemmParams {
  const __nv_bfloat16* x = nullptr;  ///< row-major, `x_pitch` elements a row
  int x_pitch = 0;
  const int* gather = nullptr;  ///< row of X for each row of the result; null: the same
  const std::byte* weights = nullptr;
  int rows = 0;  ///< without groups
  int n = 0;     ///< multiple of 16
  int k = 0;     ///< multiple of 32
  GemmResult result = GemmResult::bf16;
  int split = 0;
  __nv_bfloat16* out_bf16 = nullptr;
  float* out_f32 = nullptr;
  int groups = 0;                    ///< 0: one matrix
  const int* group_begin = nullptr;  ///< [groups + 1] first row of each group
  int max_rows = 0;  ///< with groups: upper bound of the row tiles is derived from it
};

[[nodiscard]] cudaError_t prepare_gemm();
[[nodiscard]] cudaError_t launch_gemm(const GemmParams& params, cudaStream_t stream);

}  // namespace caretd::kernels::cuda
