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

/// Eight neighbouring values.
struct Eight {
  float value[8];
};

__device__ __forceinline__ Eight load_eight(const float* from) {
  const float4 low = *reinterpret_cast<const float4*>(from);
  const float4 high = *reinterpret_cast<const float4*>(from + 4);
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}
__device__ __forceinline__ Eight load_eight(const __nv_bfloat16* from) {
  const uint4 bits = *reinterpret_cast<const uint4*>(from);
  Eight out;
  const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(&bits);
  for (int i = 0; i < 4; ++i) {
    const float2 pair = __bfloat1622float2(pairs[i]);
    out.value[2 * i] = pair.x;
    out.value[2 * i + 1] = pair.y;
  }
  return out;
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

/// A warp a row, which also goes to its places among the experts' rows if there are any.
template <typename T>
__global__ void norm_kernel(const T* x, const float* weight, int rows, int width, float epsilon,
                            __nv_bfloat16* out, const ExpertRows experts) {
  const int row = global_warp();
  if (row >= rows) return;
  const T* in = x + static_cast<std::int64_t>(row) * width;
  const int* place = experts.place_of + static_cast<std::int64_t>(row) * experts.topk;
  float sum = 0.0F;
#pragma unroll 4
  for (int c = lane_id() * 8; c < width; c += 256) {
    const Eight v = load_eight(in + c);
    for (const float value : v.value) sum += value * value;
  }
  const float scale = rsqrtf(warp_sum(sum) / width + epsilon);
#pragma unroll 2
  for (int c = lane_id() * 8; c < width; c += 256) {
    const Eight v = load_eight(in + c);
    const Eight w = load_eight(weight + c);
    std::uint32_t pairs[4];
    for (int i = 0; i < 4; ++i) {
      pairs[i] = pack_bf16(v.value[2 * i] * scale * w.value[2 * i],
                           v.value[2 * i + 1] * scale * w.value[2 * i + 1]);
    }
    const uint4 bits = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    *reinterpret_cast<uint4*>(out + static_cast<std::int64_t>(row) * width + c) = bits;
    for (int k = 0; k < experts.topk; ++k) {
      *reinterpret_cast<uint4*>(experts.rows + static_cast<std::int64_t>(place[k]) * width + c) =
          bits;
    }
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

/// What a thread brings of 32 columns: four columns of one token and of two experts.
struct RouterPiece {
  float4 x;
  float4 w[2];

  __device__ __forceinline__ void load(const float* x_row, const float* const (&w_row)[2],
                                       const float* norm, int col) {
    const float4 n = *reinterpret_cast<const float4*>(norm + col);
    x = *reinterpret_cast<const float4*>(x_row + col);
    for (int i = 0; i < 2; ++i) {
      const float4 v = *reinterpret_cast<const float4*>(w_row[i] + col);
      w[i] = make_float4(v.x * n.x, v.y * n.y, v.z * n.z, v.w * n.w);
    }
  }
};

/// How many blocks share the columns of a token's logits.
__host__ __device__ int router_slices(const StepDims& dims) {
  return dims.hidden % (kRouterParts * kRouterColumns) == 0 ? kRouterParts : 1;
}

/// Dot products of 32 tokens with 64 experts over a slice of the columns, and the tokens' sums of
/// squares; float32. A thread computes eight experts of one token.
__global__ void __launch_bounds__(kThreads)
    router_kernel(const __grid_constant__ StepParams p, int layer, const float* x) {
  constexpr int kPitch = kRouterExperts + 4;
  __shared__ float xs[kRouterColumns][kRouterTokens + 1];
  __shared__ __align__(16) float ws[kRouterColumns][kPitch];
  const StepDims& dims = p.dims;
  const int first_token = static_cast<int>(blockIdx.x) * kRouterTokens;
  const int first_expert = static_cast<int>(blockIdx.y) * kRouterExperts;
  const int slice = dims.hidden / static_cast<int>(gridDim.z);
  const int begin = static_cast<int>(blockIdx.z) * slice;
  const float* norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden;
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread / 8;
  const int col = thread % 8 * 4;
  const auto row_of = [&](const float* matrix, int index, int rows) {
    return matrix + static_cast<std::int64_t>(min(index, rows - 1)) * dims.hidden;
  };
  const float* x_row = row_of(x, first_token + row, p.batch.tokens);
  const float* const w_row[2] = {row_of(router, first_expert + row, dims.experts),
                                 row_of(router, first_expert + row + 32, dims.experts)};
  const int token = thread % 32;
  const int group = thread / 32;
  float dot[8] = {};
  float squares = 0.0F;
  RouterPiece piece;
  piece.load(x_row, w_row, norm, begin + col);
  for (int at = begin; at < begin + slice; at += kRouterColumns) {
    __syncthreads();
    for (int i = 0; i < 4; ++i) {
      xs[col + i][row] = (&piece.x.x)[i];
      ws[col + i][row] = (&piece.w[0].x)[i];
      ws[col + i][row + 32] = (&piece.w[1].x)[i];
    }
    __syncthreads();
    if (at + kRouterColumns < begin + slice) {
      piece.load(x_row, w_row, norm, at + kRouterColumns + col);
    }
#pragma unroll 8
    for (int c = 0; c < kRouterColumns; ++c) {
      const float value = xs[c][token];
      const Eight w = load_eight(&ws[c][group * 8]);
      squares += value * value;
#pragma unroll
      for (int e = 0; e < 8; ++e) dot[e] += value * w.value[e];
    }
  }
  if (first_token + token >= p.batch.tokens) return;
  float2* out =
      p.buffers.router_parts +
      (static_cast<std::int64_t>(first_token + token) * kRouterParts + blockIdx.z) * dims.experts;
  for (int e = 0; e < 8; ++e) {
    const int expert = first_expert + group * 8 + e;
    if (expert < dims.experts) out[expert] = make_float2(dot[e], squares);
  }
}

__global__ void choose_kernel(const __grid_constant__ StepParams p, int layer) {
  const int token = global_warp();
  const int lane = lane_id();
  if (token >= p.batch.tokens) return;
  const step::Choice choice = step::choose_experts(p, layer, token, router_slices(p.dims), lane);
  if (lane < p.dims.topk) {
    p.buffers.topk_expert[token * kMaxTopK + lane] = choice.expert;
    p.buffers.topk_weight[token * kMaxTopK + lane] = choice.weight;
  }
}

constexpr int kGroupThreads = 1024;

/// Sum over the block's threads of `value`, and of those before this one.
struct BlockSum {
  int before;
  int all;
};
__device__ BlockSum block_sum(int value, int* of_warp) {
  const int lane = lane_id();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  int upto = value;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int other = __shfl_up_sync(~0U, upto, offset);
    if (lane >= offset) upto += other;
  }
  if (lane == 31) of_warp[warp] = upto;
  __syncthreads();
  BlockSum sum{upto - value, 0};
  for (int w = 0; w < kGroupThreads / 32; ++w) {
    if (w < warp) sum.before += of_warp[w];
    sum.all += of_warp[w];
  }
  __syncthreads();
  return sum;
}

/// One block an expert; a thread takes neighbouring tokens.
__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const __grid_constant__ StepParams p, int* begin, int* place_of) {
  __shared__ int of_warp[kGroupThreads / 32];
  const int expert = static_cast<int>(blockIdx.x);
  const int topk = p.dims.topk;
  const int each = (p.batch.tokens + kGroupThreads - 1) / kGroupThreads;
  const int first = min(static_cast<int>(threadIdx.x) * each, p.batch.tokens);
  const int last = min(first + each, p.batch.tokens);
  int smaller = 0;
  int mine = 0;
  for (int token = first; token < last; ++token) {
    for (int k = 0; k < topk; ++k) {
      const int chosen = p.buffers.topk_expert[token * kMaxTopK + k];
      smaller += chosen < expert ? 1 : 0;
      mine += chosen == expert ? 1 : 0;
    }
  }
  const int start = block_sum(smaller, of_warp).all;
  const BlockSum sum = block_sum(mine, of_warp);
  if (threadIdx.x == 0) {
    begin[expert] = start;
    if (expert + 1 == p.dims.experts) begin[expert + 1] = start + sum.all;
  }
  int place = start + sum.before;
  for (int token = first; token < last && mine > 0; ++token) {
    for (int k = 0; k < topk; ++k) {
      if (p.buffers.topk_expert[token * kMaxTopK + k] == expert) {
        place_of[token * topk + k] = place++;
      }
    }
  }
}

/// A block a token.
__global__ void combine_kernel(const __grid_constant__ StepParams p,
                               const __nv_bfloat16* expert_out, const int* place_of, float* x) {
  const int token = static_cast<int>(blockIdx.x);
  const int hidden = p.dims.hidden;
  float* out = x + static_cast<std::int64_t>(token) * hidden;
  for (int c = static_cast<int>(threadIdx.x) * 8; c < hidden; c += kThreads * 8) {
    Eight sum = load_eight(out + c);
#pragma unroll 6
    for (int k = 0; k < p.dims.topk; ++k) {
      const float weight = p.buffers.topk_weight[token * kMaxTopK + k];
      const std::int64_t row = place_of[token * p.dims.topk + k];
      const Eight v = load_eight(expert_out + row * hidden + c);
      for (int i = 0; i < 8; ++i) sum.value[i] += weight * v.value[i];
    }
    auto* to = reinterpret_cast<float4*>(out + c);
    to[0] = make_float4(sum.value[0], sum.value[1], sum.value[2], sum.value[3]);
    to[1] = make_float4(sum.value[4], sum.value[5], sum.value[6], sum.value[7]);
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
                      __nv_bfloat16* out, const ExpertRows& experts, cudaStream_t stream) {
  norm_kernel<<<blocks_of_warps(rows), kThreads, 0, stream>>>(x, weight, rows, width, epsilon, out,
                                                              experts);
  return cudaGetLastError();
}

cudaError_t norm_rows(const __nv_bfloat16* x, const float* weight, int rows, int width,
                      float epsilon, __nv_bfloat16* out, cudaStream_t stream) {
  norm_kernel<<<blocks_of_warps(rows), kThreads, 0, stream>>>(x, weight, rows, width, epsilon, out,
                                                              ExpertRows{});
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
                  (params.dims.experts + kRouterExperts - 1) / kRouterExperts,
                  router_slices(params.dims));
  router_kernel<<<grid, kThreads, 0, stream>>>(params, layer, x);
  choose_kernel<<<blocks_of_warps(params.batch.tokens), kThreads, 0, stream>>>(params, layer);
  return cudaGetLastError();
}

cudaError_t group_by_expert(const StepParams& params, int* begin, int* place_of,
                            cudaStream_t stream) {
  group_kernel<<<params.dims.experts, kGroupThreads, 0, stream>>>(params, begin, place_of);
  return cudaGetLastError();
}

cudaError_t combine_experts(const StepParams& params, const __nv_bfloat16* expert_out,
                            const int* place_of, float* x, cudaStream_t stream) {
  combine_kernel<<<params.batch.tokens, kThreads, 0, stream>>>(params, expert_out, place_of, x);
  return cudaGetLastError();
}

}  // namespace caretd::kernels::cuda
