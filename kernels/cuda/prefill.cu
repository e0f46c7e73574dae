#include "kernels/cuda/prefill.h"
#include "kernels/cuda/step/attention.cuh"
#include "kernels/cuda/step/routing.cuh"

namespace caretd::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

int blocks_of_warps(int warps) {
  return (warps + kWarps - 1) / kWarps;
}

__device__ int global_warp() {
  return static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
}
__device__ int lane_id() {
  return static_cast<int>(threadIdx.x) % 32;
}

__device__ float to_float(float value) {
  return value;
}
__device__ float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

__global__ void embed_kernel(const StepToken* tokens, const __nv_bfloat16* embedding, int count,
                             int hidden, float* x) {
  const int token = global_warp();
  if (token >= count) return;
  const auto* row = reinterpret_cast<const __nv_bfloat162*>(
      embedding + static_cast<std::int64_t>(tokens[token].id) * hidden);
  auto* out = reinterpret_cast<float2*>(x + static_cast<std::int64_t>(token) * hidden);
  for (int i = lane_id(); i < hidden / 2; i += 32) out[i] = __bfloat1622float2(row[i]);
}

/// A warp a row.
template <typename T>
__global__ void norm_kernel(const T* x, const float* weight, int rows, int width, float epsilon,
                            __nv_bfloat16* out) {
  const int row = global_warp();
  if (row >= rows) return;
  const T* in = x + static_cast<std::int64_t>(row) * width;
  float sum = 0.0F;
#pragma unroll 4
  for (int c = lane_id(); c < width; c += 32) sum += to_float(in[c]) * to_float(in[c]);
  const float scale = rsqrtf(warp_sum(sum) / width + epsilon);
  __nv_bfloat16* to = out + static_cast<std::int64_t>(row) * width;
#pragma unroll 4
  for (int c = lane_id(); c < width; c += 32) {
    to[c] = __float2bfloat16(to_float(in[c]) * scale * weight[c]);
  }
}

/// A warp a (token, head), and a warp a token for the page row.
__global__ void rotate_kernel(const __grid_constant__ StepParams p, int layer, __nv_bfloat16* q,
                              const float* kv) {
  const StepDims& dims = p.dims;
  const int warp = global_warp();
  const int lane = lane_id();
  const int token = warp / (dims.heads + 1);
  const int head = warp % (dims.heads + 1);
  if (token >= p.batch.tokens) return;
  const StepToken& t = p.batch.token[token];
  const float2* turns = p.weights.rotary + static_cast<std::int64_t>(t.position) * (dims.rope / 2);
  if (head < dims.heads) {
    __nv_bfloat16* pe =
        q + (static_cast<std::int64_t>(token) * dims.heads + head) * dims.head_dim() + dims.nope;
    for (int i = lane; i < dims.rope / 2; i += 32) {
      const float2 pair = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(pe)[i]);
      step::rotate_pair(pair.x, pair.y, turns[i], pe + 2 * i);
    }
    return;
  }
  const float* row = kv + static_cast<std::int64_t>(token) * dims.kv_width();
  const float* norm = p.weights.kv_norm + static_cast<std::int64_t>(layer) * dims.kv_rank;
  __nv_bfloat16* out =
      step::page_row(p, p.batch.pages[t.position / kPageRows], layer, t.position % kPageRows);
  float sum = 0.0F;
  for (int c = lane; c < dims.kv_rank; c += 32) sum += row[c] * row[c];
  const float scale = rsqrtf(warp_sum(sum) / dims.kv_rank + dims.norm_epsilon);
  for (int c = lane; c < dims.kv_rank; c += 32) out[c] = __float2bfloat16(row[c] * scale * norm[c]);
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

constexpr int kRouterTokens = 32;
constexpr int kRouterExperts = 64;
constexpr int kRouterColumns = 32;

/// Dot products of 32 tokens with 64 experts, and the tokens' sums of squares; float32.
__global__ void router_kernel(const __grid_constant__ StepParams p, int layer, const float* x) {
  __shared__ float xs[kRouterColumns][kRouterTokens + 1];
  __shared__ float ws[kRouterColumns][kRouterExperts + 1];
  const StepDims& dims = p.dims;
  const int first_token = static_cast<int>(blockIdx.x) * kRouterTokens;
  const int first_expert = static_cast<int>(blockIdx.y) * kRouterExperts;
  const float* norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden;
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  const int thread = static_cast<int>(threadIdx.x);
  const int token = thread % kRouterTokens;
  const int group = thread / kRouterTokens;  // eight experts each
  float dot[8] = {};
  float squares = 0.0F;
  for (int begin = 0; begin < dims.hidden; begin += kRouterColumns) {
    __syncthreads();
    for (int i = thread; i < kRouterTokens * kRouterColumns; i += kThreads) {
      const int row = min(first_token + i / kRouterColumns, p.batch.tokens - 1);
      xs[i % kRouterColumns][i / kRouterColumns] =
          x[static_cast<std::int64_t>(row) * dims.hidden + begin + i % kRouterColumns];
    }
    for (int i = thread; i < kRouterExperts * kRouterColumns; i += kThreads) {
      const int expert = min(first_expert + i / kRouterColumns, dims.experts - 1);
      const int col = begin + i % kRouterColumns;
      ws[i % kRouterColumns][i / kRouterColumns] =
          router[static_cast<std::int64_t>(expert) * dims.hidden + col] * norm[col];
    }
    __syncthreads();
#pragma unroll 8
    for (int c = 0; c < kRouterColumns; ++c) {
      const float value = xs[c][token];
      squares += value * value;
#pragma unroll
      for (int e = 0; e < 8; ++e) dot[e] += value * ws[c][group * 8 + e];
    }
  }
  if (first_token + token >= p.batch.tokens) return;
  for (int e = 0; e < 8; ++e) {
    const int expert = first_expert + group * 8 + e;
    if (expert >= dims.experts) break;
    p.buffers
        .router_parts[static_cast<std::int64_t>(first_token + token) * kRouterParts * dims.experts +
                      expert] = make_float2(dot[e], squares);
  }
}

__global__ void choose_kernel(const __grid_constant__ StepParams p, int layer) {
  const int token = global_warp();
  const int lane = lane_id();
  if (token >= p.batch.tokens) return;
  const step::Choice choice = step::choose_experts(p, layer, token, 1, lane);
  if (lane < p.dims.topk) {
    p.buffers.topk_expert[token * kMaxTopK + lane] = choice.expert;
    p.buffers.topk_weight[token * kMaxTopK + lane] = choice.weight;
  }
}

/// One block an expert: walks all choices in order. kPlace: writes their places, otherwise counts.
template <bool kPlace>
__global__ void group_kernel(const __grid_constant__ StepParams p, int* count, int* begin,
                             int* token_of, int* place_of) {
  __shared__ int found[kWarps];
  const int expert = static_cast<int>(blockIdx.x);
  const int topk = p.dims.topk;
  const int choices = p.batch.tokens * topk;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int at = 0;
  if (kPlace) {
    for (int e = 0; e < expert; ++e) at += count[e];
    if (threadIdx.x == 0) {
      begin[expert] = at;
      if (expert + 1 == p.dims.experts) begin[expert + 1] = at + count[expert];
    }
  }
  for (int first = 0; first < choices; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool mine =
        i < choices && p.buffers.topk_expert[i / topk * kMaxTopK + i % topk] == expert;
    const unsigned votes = __ballot_sync(~0U, mine);
    if (lane_id() == 0) found[warp] = __popc(votes);
    __syncthreads();
    int place = at + __popc(votes & ((1U << lane_id()) - 1));
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) place += found[w];
      at += found[w];
    }
    if (kPlace && mine) {
      token_of[place] = i / topk;
      place_of[i] = place;
    }
    __syncthreads();
  }
  if (!kPlace && threadIdx.x == 0) count[expert] = at;
}

__global__ void combine_kernel(const __grid_constant__ StepParams p,
                               const __nv_bfloat16* expert_out, const int* place_of, float* x) {
  const int token = static_cast<int>(blockIdx.x);
  const int hidden = p.dims.hidden;
  float* out = x + static_cast<std::int64_t>(token) * hidden;
  for (int c = static_cast<int>(threadIdx.x) * 2; c < hidden; c += kThreads * 2) {
    float2 sum = *reinterpret_cast<const float2*>(out + c);
    for (int k = 0; k < p.dims.topk; ++k) {
      const float weight = p.buffers.topk_weight[token * kMaxTopK + k];
      const std::int64_t row = place_of[token * p.dims.topk + k];
      const float2 v = __bfloat1622float2(
          *reinterpret_cast<const __nv_bfloat162*>(expert_out + row * hidden + c));
      sum.x += weight * v.x;
      sum.y += weight * v.y;
    }
    *reinterpret_cast<float2*>(out + c) = sum;
  }
}

}  // namespace

cudaError_t embed_tokens(const StepToken* tokens, const __nv_bfloat16* embedding, int count,
                         int hidden, float* x, cudaStream_t stream) {
  embed_kernel<<<blocks_of_warps(count), kThreads, 0, stream>>>(tokens, embedding, count, hidden,
                                                                x);
  return cudaGetLastError();
}

cudaError_t norm_rows(const float* x, const float* weight, int rows, int width, float epsilon,
                      __nv_bfloat16* out, cudaStream_t stream) {
  norm_kernel<<<blocks_of_warps(rows), kThreads, 0, stream>>>(x, weight, rows, width, epsilon, out);
  return cudaGetLastError();
}

cudaError_t norm_rows(const __nv_bfloat16* x, const float* weight, int rows, int width,
                      float epsilon, __nv_bfloat16* out, cudaStream_t stream) {
  norm_kernel<<<blocks_of_warps(rows), kThreads, 0, stream>>>(x, weight, rows, width, epsilon, out);
  return cudaGetLastError();
}

cudaError_t rotate_and_write_pages(const StepParams& params, int layer, __nv_bfloat16* q,
                                   const float* kv, cudaStream_t stream) {
  const int warps = params.batch.tokens * (params.dims.heads + 1);
  rotate_kernel<<<blocks_of_warps(warps), kThreads, 0, stream>>>(params, layer, q, kv);
  return cudaGetLastError();
}

cudaError_t gather_latents(const StepParams& params, int layer, int positions,
                           __nv_bfloat16* latent, cudaStream_t stream) {
  gather_kernel<<<blocks_of_warps(positions), kThreads, 0, stream>>>(params, layer, positions,
                                                                     latent);
  return cudaGetLastError();
}

cudaError_t route_rows(const StepParams& params, int layer, const float* x, cudaStream_t stream) {
  const dim3 grid((params.batch.tokens + kRouterTokens - 1) / kRouterTokens,
                  (params.dims.experts + kRouterExperts - 1) / kRouterExperts);
  router_kernel<<<grid, kThreads, 0, stream>>>(params, layer, x);
  choose_kernel<<<blocks_of_warps(params.batch.tokens), kThreads, 0, stream>>>(params, layer);
  return cudaGetLastError();
}

cudaError_t group_by_expert(const StepParams& params, int* count, int* begin, int* token_of,
                            int* place_of, cudaStream_t stream) {
  group_kernel<false>
      <<<params.dims.experts, kThreads, 0, stream>>>(params, count, begin, token_of, place_of);
  group_kernel<true>
      <<<params.dims.experts, kThreads, 0, stream>>>(params, count, begin, token_of, place_of);
  return cudaGetLastError();
}

cudaError_t combine_experts(const StepParams& params, const __nv_bfloat16* expert_out,
                            const int* place_of, float* x, cudaStream_t stream) {
  combine_kernel<<<params.batch.tokens, kThreads, 0, stream>>>(params, expert_out, place_of, x);
  return cudaGetLastError();
}

}  // namespace caretd::kernels::cuda
