// Causal attention over expanded keys and values, for prefill (FlashAttention-2, arXiv 2307.08691).
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/gemm.h"

namespace caretd::kernels::cuda {

/// One run: `tokens` queries at positions position, position + 1, ... against the KV rows
/// [0, position + tokens).
struct FlashParams {
  const __nv_bfloat16* q = nullptr;       ///< [tokens, heads, nope + rope], rotated
  const __nv_bfloat16* k_nope = nullptr;  ///< [positions, heads, nope]
  const __nv_bfloat16* latent = nullptr;  ///< [positions, kv_width]: the rotated key at its end
  const __nv_bfloat16* v = nullptr;       ///< [positions, heads, v]
  __nv_bfloat16* out = nullptr;           ///< [tokens, heads, v]
  int tokens = 0;
  int position = 0;
  int heads = 0;
  int kv_rank = 0;
  int kv_width = 0;
  float scale_log2 = 0.0F;
};

/// Whether there is an instantiation for these head sizes: 128 + 64 / 128 and 64 + 32 / 64.
[[nodiscard]] bool flash_supports(int nope, int rope, int v);
/// Prepares the kernels on the current device; once per device.
[[nodiscard]] cudaError_t prepare_flash(const GemmDevice& device);
[[nodiscard]] cudaError_t launch_flash(const GemmDevice& device, const FlashParams& params,
                                       int nope, cudaStream_t stream);

/// The two implementations: mma.sync and wgmma.
[[nodiscard]] cudaError_t prepare_flash_mma();
[[nodiscard]] cudaError_t launch_flash_mma(const FlashParams& params, int nope,
                                           cudaStream_t stream);
[[nodiscard]] cudaError_t prepare_flash_wgmma();
[[nodiscard]] cudaError_t launch_flash_wgmma(const TensorMapEncoder& encoder,
                                             const FlashParams& params, int nope,
                                             cudaStream_t stream);

}  // namespace caretd::kernels::cuda
