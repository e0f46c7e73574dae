#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prefill.h"
#include "kernels/cuda/prefill_rows.cuh"
#include "kernels/cuda/step/attention.cuh"

namespace caretd::kernels::cuda {
namespace {

__global__ void embed_kernel(const StepToken* tokens, const __nv_bfloat16* embedding, int count,
                             int hidden, float* x) {
  const int token = global_warp();
  if (token >= count) return;
  const auto* row = reinterpret_cast<const __nv_bfloat162*>(
      embedding + static_cast<std::int64_t>(tokens[token].id) * hidden);
  auto* out = reinterpret_cast<float2*>(x + static_cast<std::int64_t>(token) * hidden);
  for (int i = lane_id(); i < hidden / 2; i += 32) out[i] = __bfloat1622float2(row[i]);
}

/// A block a row, which also goes to its places among the experts' rows if there are any.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const T* x, const float* weight, int width, float epsilon, __nv_bfloat16* out,
                const ExpertRows experts) {
  __shared__ float of_warp[kWarps];
  const std::int64_t row = blockIdx.x;
  const T* in = x + row * width;
  float squares = 0.0F;
  for (int c = static_cast<int>(threadIdx.x) * 8; c < width; c += kThreads * 8) {
    squares += squares_of(load_eight(in + c));
  }
  const float scale = rsqrtf(block_total(squares, of_warp) / width + epsilon);
  for (int c = static_cast<int>(threadIdx.x) * 8; c < width; c += kThreads * 8) {
    const uint4 bits =
        store_normed(out + row * width + c, load_eight(in + c), scale, load_eight(weight + c));
    for (int k = 0; k < experts.topk; ++k) {
      const std::int64_t place = experts.place_of[row * experts.topk + k];
      *reinterpret_cast<uint4*>(experts.rows + place * width + c) = bits;
    }
  }
}

constexpr int kRotateHeadWarps = 4;

/// Rotates eight neighbouring BF16 elements.
__device__ __forceinline__ void rotate_eight(__nv_bfloat16* at, const float2* turns) {
  const Eight v = load_eight(at);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    step::rotate_pair(v.value[2 * i], v.value[2 * i + 1], turns[i], at + 2 * i);
  }
}

/// A block a token: four warps rotate the queries, one norms and rotates the page row.
__global__ void __launch_bounds__((kRotateHeadWarps + 1) * 32)
    rotate_kernel(const __grid_constant__ StepParams p, int layer, __nv_bfloat16* q,
                  const float* kv) {
  const StepDims& dims = p.dims;
  const int token = static_cast<int>(blockIdx.x);
  const int lane = lane_id();
  const StepToken& t = p.batch.token[token];
  const float2* turns = p.weights.rotary + static_cast<std::int64_t>(t.position) * (dims.rope / 2);
  if (threadIdx.x < kRotateHeadWarps * 32) {
    const int pieces = dims.rope / 8;
    for (int i = threadIdx.x; i < dims.heads * pieces; i += kRotateHeadWarps * 32) {
      const int col = i % pieces * 8;
      rotate_eight(
          q + (static_cast<std::int64_t>(token) * dims.heads + i / pieces) * dims.head_dim() +
              dims.nope + col,
          turns + col / 2);
    }
    return;
  }
  const float* row = kv + static_cast<std::int64_t>(token) * dims.kv_width();
  const float* norm = p.weights.kv_norm + static_cast<std::int64_t>(layer) * dims.kv_rank;
  __nv_bfloat16* out =
      step::page_row(p, p.batch.pages[t.position / kPageRows], layer, t.position % kPageRows);
  float sum = 0.0F;
#pragma unroll 2
  for (int c = lane * 8; c < dims.kv_rank; c += 256) sum += squares_of(load_eight(row + c));
  const float scale = rsqrtf(warp_sum(sum) / dims.kv_rank + dims.norm_epsilon);
#pragma unroll 2
  for (int c = lane * 8; c < dims.kv_rank; c += 256) {
    store_normed(out + c, load_eight(row + c), scale, load_eight(norm + c));
  }
  for (int i = lane; i < dims.rope / 2; i += 32) {
    const float* pair = row + dims.kv_rank + 2 * i;
    step::rotate_pair(pair[0], pair[1], turns[i], out + dims.kv_rank + 2 * i);
  }
}

__global__ void gather_kernel(const __grid_constant__ StepParams p, int layer, int positions,
                              __nv_bfloat16* latent) {
  const int position = global_warp();
  if (position >= positions) return;
  const int pieces = p.dims.kv_width() / 8;
  const auto* from = reinterpret_cast<const uint4*>(
      step::page_row(p, p.batch.pages[position / kPageRows], layer, position % kPageRows));
  auto* to = reinterpret_cast<uint4*>(latent) + static_cast<std::int64_t>(position) * pieces;
  for (int i = lane_id(); i < pieces; i += 32) to[i] = from[i];
}

}  // namespace

cudaError_t embed_tokens(const StepToken* tokens, const __nv_bfloat16* embedding, int count,
                         int hidden, float* x, cudaStream_t stream) {
  return launch_kernel(embed_kernel, blocks_of_warps(count), kThreads, 0, stream, tokens, embedding,
                       count, hidden, x);
}

cudaError_t norm_rows(const float* x, const float* weight, int rows, int width, float epsilon,
                      __nv_bfloat16* out, const ExpertRows& experts, cudaStream_t stream) {
  return launch_kernel(norm_kernel<float>, rows, kThreads, 0, stream, x, weight, width, epsilon,
                       out, experts);
}

cudaError_t norm_rows(const __nv_bfloat16* x, const float* weight, int rows, int width,
                      float epsilon, __nv_bfloat16* out, cudaStream_t stream) {
  return launch_kernel(norm_kernel<__nv_bfloat16>, rows, kThreads, 0, stream, x, weight, width,
                       epsilon, out, ExpertRows{});
}

cudaError_t rotate_and_write_pages(const StepParams& params, int layer, __nv_bfloat16* q,
                                   const float* kv, cudaStream_t stream) {
  return launch_kernel(rotate_kernel, params.batch.tokens, (kRotateHeadWarps + 1) * 32, 0, stream,
                       params, layer, q, kv);
}

cudaError_t gather_latents(const StepParams& params, int layer, int positions,
                           __nv_bfloat16* latent, cudaStream_t stream) {
  return launch_kernel(gather_kernel, blocks_of_warps(positions), kThreads, 0, stream, params,
                       layer, positions, latent);
}

}  // namespace caretd::kernels::cuda
