// Matrix products of many tokens with packed weights, for prefill: C = X W^T.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/tensor_map.h"

namespace caretd::kernels::cuda {

/// What happens to a row of results.
enum class GemmResult : std::uint8_t {
  bf16,      ///< out_bf16 [rows, n]
  split,     ///< columns below `split` to out_bf16 [rows, split], the others to out_f32
  residual,  ///< added to out_f32 [rows, n]
  gated,     ///< interleaved gate and up (layout.h): silu(gate) * up to out_bf16 [rows, n / 2]
};

/// Groups of rows (experts) may have a matrix each.
struct GemmParams {
  const __nv_bfloat16* x = nullptr;  ///< row-major, `x_pitch` elements a row
  int x_pitch = 0;
  const std::byte* weights = nullptr;
  Format format = Format::bf16;  ///< of the weights; FP8 needs GemmDevice::warpgroups
  int rows = 0;                  ///< of X and of the result, all groups together
  int n = 0;                     ///< multiple of 16; of 32 where gated
  int k = 0;                     ///< multiple of 32
  GemmResult result = GemmResult::bf16;
  int split = 0;  ///< multiple of 16
  __nv_bfloat16* out_bf16 = nullptr;
  float* out_f32 = nullptr;
  int groups = 0;                    ///< 0: one matrix; at most kMaxExperts
  const int* group_begin = nullptr;  ///< [groups + 1] first row of each group
};

/// What a device brings to the products and the attention of prefill.
struct GemmDevice {
  int multiprocessors = 0;
  bool warpgroups = false;  ///< wgmma and tensor copies: compute capability 9.0
  TensorMapEncoder encoder;
};

/// Prepares the kernels on the current device; once per device.
[[nodiscard]] cudaError_t prepare_gemm(GemmDevice& device);
[[nodiscard]] cudaError_t launch_gemm(const GemmDevice& device, const GemmParams& params,
                                      cudaStream_t stream);

/// The two implementations: mma.sync (BF16 weights) and wgmma.
[[nodiscard]] cudaError_t prepare_gemm_mma();
[[nodiscard]] cudaError_t launch_gemm_mma(const GemmParams& params, cudaStream_t stream);
[[nodiscard]] cudaError_t prepare_gemm_wgmma();
[[nodiscard]] cudaError_t launch_gemm_wgmma(const GemmDevice& device, const GemmParams& params,
                                            cudaStream_t stream);

}  // namespace caretd::kernels::cuda
