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

__device__ __forceinline__ float squares_of(const Eight& v) {
  float sum = 0.0F;
  for (const float value : v.value) sum += value * value;
  return sum;
}

/// Returns what it writes: v * scale * weight.
__device__ __forceinline__ uint4 store_normed(__nv_bfloat16* to, const Eight& v, float scale,
                                              const Eight& weight) {
  std::uint32_t pairs[4];
  for (int i = 0; i < 4; ++i) {
    pairs[i] = pack_bf16(v.value[2 * i] * scale * weight.value[2 * i],
                         v.value[2 * i + 1] * scale * weight.value[2 * i + 1]);
  }
  const uint4 bits = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
  *reinterpret_cast<uint4*>(to) = bits;
  return bits;
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
  for (int c = lane_id() * 8; c < width; c += 256) sum += squares_of(load_eight(in + c));
  const float scale = rsqrtf(warp_sum(sum) / width + epsilon);
#pragma unroll 2
  for (int c = lane_id() * 8; c < width; c += 256) {
    const uint4 bits = store_normed(out + static_cast<std::int64_t>(row) * width + c,
                                    load_eight(in + c), scale, load_eight(weight + c));
    for (int k = 0; k < experts.topk; ++k) {
      *reinterpret_cast<uint4*>(experts.rows + static_cast<std::int64_t>(place[k]) * width + c) =
          bits;
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

constexpr int kRouterTile = 64;  // tokens and experts of a block
constexpr int kRouterColumns = 32;
/// How many blocks share the columns of a token's logits.
__host__ __device__ int router_slices(const StepDims& dims) {
  return dims.hidden % (kRouterParts * kRouterColumns) == 0 ? kRouterParts : 1;
}

/// 32 columns of 64 rows, transposed: a thread reads four neighbouring rows of a column. Groups of
/// four rows are exchanged so that eight lanes that write a row's 32 columns meet different banks.
struct RouterTile {
  float value[kRouterColumns][kRouterTile];

  __device__ __forceinline__ float* at(int col, int row) {
    return &value[col][row ^ (col / 4 * 4)];
  }
  __device__ __forceinline__ void store(int col, int row, float4 four) {
    *at(col, row) = four.x;
    *at(col + 1, row) = four.y;
    *at(col + 2, row) = four.z;
    *at(col + 3, row) = four.w;
  }
};

/// What a thread brings of 32 columns: four columns of two tokens and of two experts.
struct RouterPiece {
  const float* norm;
  const float* row[2];     ///< of x
  const float* expert[2];  ///< rows of the router
  float4 x[2];
  float4 w[2];

  __device__ __forceinline__ void load(int col) {
    const float4 n = *reinterpret_cast<const float4*>(norm + col);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      x[i] = *reinterpret_cast<const float4*>(row[i] + col);
      const float4 v = *reinterpret_cast<const float4*>(expert[i] + col);
      w[i] = make_float4(v.x * n.x, v.y * n.y, v.z * n.z, v.w * n.w);
    }
  }
  [[nodiscard]] __device__ __forceinline__ float squares(int i) const {
    return x[i].x * x[i].x + x[i].y * x[i].y + x[i].z * x[i].z + x[i].w * x[i].w;
  }
};

/// Dot products of 64 tokens with 64 experts over a slice of the columns, and the tokens' sums of
/// squares; float32. A thread computes four tokens' logits of four experts.
__global__ void __launch_bounds__(kThreads)
    router_kernel(const __grid_constant__ StepParams p, int layer, const float* x) {
  __shared__ __align__(16) RouterTile xs;
  __shared__ __align__(16) RouterTile ws;
  __shared__ float squares[kRouterTile];
  const StepDims& dims = p.dims;
  const int first_token = static_cast<int>(blockIdx.x) * kRouterTile;
  const int first_expert = static_cast<int>(blockIdx.y) * kRouterTile;
  const int slice = dims.hidden / static_cast<int>(gridDim.z);
  const int begin = static_cast<int>(blockIdx.z) * slice;
  const int row = static_cast<int>(threadIdx.x) / 8;
  const int col = static_cast<int>(threadIdx.x) % 8 * 4;
  const auto row_of = [&](const float* matrix, int index, int rows) {
    return matrix + static_cast<std::int64_t>(min(index, rows - 1)) * dims.hidden + begin + col;
  };
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  RouterPiece piece = {};
  piece.norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden + begin + col;
  for (int i = 0; i < 2; ++i) {
    piece.row[i] = row_of(x, first_token + row + i * 32, p.batch.tokens);
    piece.expert[i] = row_of(router, first_expert + row + i * 32, dims.experts);
  }
  const int token = static_cast<int>(threadIdx.x) / 16 * 4;
  const int expert = static_cast<int>(threadIdx.x) % 16 * 4;
  float dot[4][4] = {};
  float own_squares[2] = {};
  piece.load(0);
  for (int at = 0; at < slice; at += kRouterColumns) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      xs.store(col, row + i * 32, piece.x[i]);
      ws.store(col, row + i * 32, piece.w[i]);
      own_squares[i] += piece.squares(i);
    }
    __syncthreads();
    if (at + kRouterColumns < slice) piece.load(at + kRouterColumns);
#pragma unroll 8
    for (int c = 0; c < kRouterColumns; ++c) {
      const float4 a = *reinterpret_cast<const float4*>(xs.at(c, token));
      const float4 b = *reinterpret_cast<const float4*>(ws.at(c, expert));
      const float xv[] = {a.x, a.y, a.z, a.w};
      const float wv[] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int t = 0; t < 4; ++t) {
#pragma unroll
        for (int e = 0; e < 4; ++e) dot[t][e] += xv[t] * wv[e];
      }
    }
  }
  for (int i = 0; i < 2; ++i) {
    float sum = own_squares[i];
    for (int offset = 1; offset < 8; offset *= 2) sum += __shfl_xor_sync(~0U, sum, offset);
    if (col == 0) squares[row + i * 32] = sum;
  }
  __syncthreads();
  for (int t = 0; t < 4; ++t) {
    if (first_token + token + t >= p.batch.tokens) break;
    float2* out = p.buffers.router_parts +
                  (static_cast<std::int64_t>(first_token + token + t) * kRouterParts + blockIdx.z) *
                      dims.experts +
                  first_expert + expert;
    for (int e = 0; e < 4; ++e) {
      if (first_expert + expert + e < dims.experts)
        out[e] = make_float2(dot[t][e], squares[token + t]);
    }
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
constexpr int kGroupWarps = kGroupThreads / 32;

/// Sum over the block's threads; `of_warp` has room for a number a warp.
__device__ int block_sum(int value, int* of_warp) {
  value = __reduce_add_sync(~0U, value);
  if (lane_id() == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  return __reduce_add_sync(~0U, of_warp[lane_id()]);
}

/// A token's experts.
struct Chosen {
  int expert[kMaxTopK];

  __device__ explicit Chosen(const int* from) {
    static_assert(kMaxTopK == 8);
    const auto* halves = reinterpret_cast<const int4*>(from);
    const int4 a = halves[0];
    const int4 b = halves[1];
    const int all[] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    for (int k = 0; k < kMaxTopK; ++k) expert[k] = all[k];
  }
};

/// One block an expert: counts the choices of experts before it, then places its own in the order
/// of the tokens.
__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const __grid_constant__ StepParams p, int* begin, int* place_of) {
  static_assert(kGroupWarps == 32, "a lane a warp");
  __shared__ int of_warp[2][kGroupWarps];
  const int expert = static_cast<int>(blockIdx.x);
  const int lane = lane_id();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int topk = p.dims.topk;
  int smaller = 0;
  for (int token = threadIdx.x; token < p.batch.tokens; token += kGroupThreads) {
    const Chosen chosen(p.buffers.topk_expert + token * kMaxTopK);
#pragma unroll
    for (int k = 0; k < kMaxTopK; ++k) smaller += k < topk && chosen.expert[k] < expert ? 1 : 0;
  }
  int place = block_sum(smaller, of_warp[1]);
  if (threadIdx.x == 0) begin[expert] = place;
  for (int first = 0, round = 0; first < p.batch.tokens; first += kGroupThreads, round ^= 1) {
    const int token = first + static_cast<int>(threadIdx.x);
    int mine = -1;
    if (token < p.batch.tokens) {
      const Chosen chosen(p.buffers.topk_expert + token * kMaxTopK);
#pragma unroll
      for (int k = 0; k < kMaxTopK; ++k) {
        if (k < topk && chosen.expert[k] == expert) mine = k;
      }
    }
    const unsigned votes = __ballot_sync(~0U, mine >= 0);
    if (lane == 0) of_warp[round][warp] = __popc(votes);
    __syncthreads();
    const int found = of_warp[round][lane];
    const int before = __reduce_add_sync(~0U, lane < warp ? found : 0);
    if (mine >= 0) {
      place_of[token * topk + mine] = place + before + __popc(votes & ((1U << lane) - 1));
    }
    place += __reduce_add_sync(~0U, found);
  }
  if (expert + 1 == p.dims.experts && threadIdx.x == 0) begin[expert + 1] = place;
}

/// A block a token.
__global__ void __launch_bounds__(kThreads)
    combine_kernel(const __grid_constant__ StepParams p, const __nv_bfloat16* expert_out,
                   const int* place_of, float* x, const NextNorm next) {
  __shared__ float of_warp[kWarps];
  const int token = static_cast<int>(blockIdx.x);
  const int hidden = p.dims.hidden;
  float* out = x + static_cast<std::int64_t>(token) * hidden;
  float squares = 0.0F;
  for (int c = static_cast<int>(threadIdx.x) * 8; c < hidden; c += kThreads * 8) {
    Eight sum = load_eight(out + c);
#pragma unroll 6
    for (int k = 0; k < p.dims.topk; ++k) {
      const float weight = p.buffers.topk_weight[token * kMaxTopK + k];
      const std::int64_t row = place_of[token * p.dims.topk + k];
      const Eight v = load_eight(expert_out + row * hidden + c);
      for (int i = 0; i < 8; ++i) sum.value[i] += weight * v.value[i];
    }
    squares += squares_of(sum);
    auto* to = reinterpret_cast<float4*>(out + c);
    to[0] = make_float4(sum.value[0], sum.value[1], sum.value[2], sum.value[3]);
    to[1] = make_float4(sum.value[4], sum.value[5], sum.value[6], sum.value[7]);
  }
  if (next.weight == nullptr) return;
  squares = warp_sum(squares);
  if (lane_id() == 0) of_warp[threadIdx.x / 32] = squares;
  __syncthreads();
  float total = 0.0F;
  for (const float of_one : of_warp) total += of_one;
  const float scale = rsqrtf(total / hidden + p.dims.norm_epsilon);
  // A thread reads back only what it wrote itself.
  for (int c = static_cast<int>(threadIdx.x) * 8; c < hidden; c += kThreads * 8) {
    store_normed(next.out + static_cast<std::int64_t>(token) * hidden + c, load_eight(out + c),
                 scale, load_eight(next.weight + c));
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
  rotate_kernel<<<params.batch.tokens, (kRotateHeadWarps + 1) * 32, 0, stream>>>(params, layer, q,
                                                                                 kv);
  return cudaGetLastError();
}

cudaError_t gather_latents(const StepParams& params, int layer, int positions,
                           __nv_bfloat16* latent, cudaStream_t stream) {
  gather_kernel<<<blocks_of_warps(positions), kThreads, 0, stream>>>(params, layer, positions,
                                                                     latent);
  return cudaGetLastError();
}

cudaError_t route_rows(const StepParams& params, int layer, const float* x, cudaStream_t stream) {
  const dim3 grid((params.batch.tokens + kRouterTile - 1) / kRouterTile,
                  (params.dims.experts + kRouterTile - 1) / kRouterTile,
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
                            const int* place_of, float* x, const NextNorm& next,
                            cudaStream_t stream) {
  combine_kernel<<<params.batch.tokens, kThreads, 0, stream>>>(params, expert_out, place_of, x,
                                                               next);
  return cudaGetLastError();
}

}  // namespace caretd::kernels::cuda
