// The small operations of prefill: what lies between the matrix products of a long run. T is the
// number of tokens of the run; activations are row-major BF16, the residual stream is float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/step.h"

namespace caretd::kernels::cuda {

/// x [T, hidden] = rows of the embedding.
[[nodiscard]] cudaError_t embed_tokens(const StepToken* tokens, const __nv_bfloat16* embedding,
                                       int count, int hidden, float* x, cudaStream_t stream);

/// Where the rows of tokens also go: row place_of[token, i] of `rows` for i < topk.
struct ExpertRows {
  __nv_bfloat16* rows = nullptr;
  const int* place_of = nullptr;  ///< [T, topk]
  int topk = 0;                   ///< 0: nowhere
};

/// out = x / rms(x) * weight, rows of `width`, a multiple of 8.
[[nodiscard]] cudaError_t norm_rows(const float* x, const float* weight, int rows, int width,
                                    float epsilon, __nv_bfloat16* out, const ExpertRows& experts,
                                    cudaStream_t stream);
[[nodiscard]] cudaError_t norm_rows(const __nv_bfloat16* x, const float* weight, int rows,
                                    int width, float epsilon, __nv_bfloat16* out,
                                    cudaStream_t stream);

/// Rotates the queries in place, norms and rotates kv [T, kv_width] and writes the rows' pages.
/// params gives the batch (token, run 0, pages), sizes, weights and pages.
[[nodiscard]] cudaError_t rotate_and_write_pages(const StepParams& params, int layer,
                                                 __nv_bfloat16* q, const float* kv,
                                                 cudaStream_t stream);

/// latent [positions, kv_width] = the layer's rows of the run's pages.
[[nodiscard]] cudaError_t gather_latents(const StepParams& params, int layer, int positions,
                                         __nv_bfloat16* latent, cudaStream_t stream);

/// Router logits of all tokens in float32 and their experts: topk_expert, topk_weight
/// [T, kMaxTopK] of params.buffers, by way of params.buffers.router_parts.
[[nodiscard]] cudaError_t route_rows(const StepParams& params, int layer, const float* x,
                                     cudaStream_t stream);

/// Orders the (token, choice) pairs by expert, tokens ascending: begin [experts + 1], place_of
/// [T, topk].
[[nodiscard]] cudaError_t group_by_expert(const StepParams& params, int* begin, int* place_of,
                                          cudaStream_t stream);

/// The norm that follows a sum.
struct NextNorm {
  const float* weight = nullptr;  ///< null: none follows
  __nv_bfloat16* out = nullptr;   ///< [T, hidden]
};

/// x[token] += sum over its choices of weight * expert_out[place_of[token, choice]], then the norm
/// of x.
[[nodiscard]] cudaError_t combine_experts(const StepParams& params, const __nv_bfloat16* expert_out,
                                          const int* place_of, float* x, const NextNorm& next,
                                          cudaStream_t stream);

}  // namespace caretd::kernels::cuda
