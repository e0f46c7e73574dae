// The way of prefill's rows to the experts and back.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/prefill.h"
#include "kernels/cuda/prefill_rows.cuh"
#include "kernels/cuda/step/routing.cuh"

namespace caretd::kernels::cuda {
namespace {

constexpr int kRouterTokens = 32;   // of a block: two tiles of 16
constexpr int kRouterExperts = 32;  // four tiles of 8
constexpr int kRouterStep = 16;     // columns that a warp takes at a time
constexpr int kRouterPitch = kRouterExperts + 8;

/// How many blocks share the columns of a token's logits.
__host__ __device__ int router_slices(const StepDims& dims) {
  return dims.hidden % (kRouterParts * kRouterStep) == 0 ? kRouterParts : 1;
}

/// A float32 as the sum of two TF32 values; the second one's rest is below 2^-22 of it.
struct Split {
  std::uint32_t high;
  std::uint32_t low;

  Split() = default;
  __device__ __forceinline__ explicit Split(float value) {
    high = round_to_tf32(value);
    low = __float_as_uint(value - __uint_as_float(high));
  }
};

/// A warp's part of the logits: 32 tokens, 32 experts, some of the columns.
struct RouterPart {
  float dot[2][4][4] = {};   ///< as multiply_tf32 leaves them, by tile of tokens and of experts
  float squares[2][2] = {};  ///< of the lane's columns of rows g and g + 8 of each tile of tokens

  /// Adds 16 columns, of which the lane brings four neighbouring ones of every row. Two products
  /// over 8 columns follow: columns 4 t + 2 i and 4 t + 2 i + 1 stand for t and t + 4.
  __device__ __forceinline__ void add(const float4 (&x)[2][2], const float4 (&w)[4]) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float4& v = x[m][h];
        squares[m][h] += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      std::uint32_t high[2][4];
      std::uint32_t low[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const Split first(i == 0 ? x[m][h].x : x[m][h].z);
          const Split second(i == 0 ? x[m][h].y : x[m][h].w);
          high[m][h] = first.high;
          low[m][h] = first.low;
          high[m][h + 2] = second.high;
          low[m][h + 2] = second.low;
        }
      }
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const Split first(i == 0 ? w[n].x : w[n].z);
        const Split second(i == 0 ? w[n].y : w[n].w);
        const std::uint32_t w_high[] = {first.high, second.high};
        const std::uint32_t w_low[] = {first.low, second.low};
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          multiply_tf32(dot[m][n], low[m], w_high);
          multiply_tf32(dot[m][n], high[m], w_low);
          multiply_tf32(dot[m][n], high[m], w_high);
        }
      }
    }
  }
};

/// What the warps of a block hand over.
struct RouterSums {
  float dot[kWarps][kRouterTokens][kRouterPitch];
  float squares[kWarps][kRouterTokens];

  __device__ __forceinline__ void store(const RouterPart& part, int warp, int lane) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = m * 16 + h * 8 + lane / 4;
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          *reinterpret_cast<float2*>(&dot[warp][row][n * 8 + lane % 4 * 2]) =
              make_float2(part.dot[m][n][h * 2], part.dot[m][n][h * 2 + 1]);
        }
        float sum = part.squares[m][h];
        sum += __shfl_xor_sync(~0U, sum, 1);
        sum += __shfl_xor_sync(~0U, sum, 2);
        if (lane % 4 == 0) squares[warp][row] = sum;
      }
    }
  }
};

/// Dot products of 32 tokens with 32 experts over a slice of the columns, and the tokens' sums of
/// squares, to float32's precision: x w = x_h w_h + x_h w_l + x_l w_h in TF32 (3xTF32, CUTLASS).
__global__ void __launch_bounds__(kThreads, 2)
    router_kernel(const __grid_constant__ StepParams p, int layer, const float* x) {
  __shared__ RouterSums sums;
  const StepDims& dims = p.dims;
  const int first_token = static_cast<int>(blockIdx.x) * kRouterTokens;
  const int first_expert = static_cast<int>(blockIdx.y) * kRouterExperts;
  const int slice = dims.hidden / static_cast<int>(gridDim.z);
  const int lane = lane_id();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int col = static_cast<int>(blockIdx.z) * slice + lane % 4 * 4;
  const auto row_of = [&](const float* matrix, int index, int rows) {
    return matrix + static_cast<std::int64_t>(min(index, rows - 1)) * dims.hidden + col;
  };
  const float* router = p.weights.router + static_cast<std::int64_t>(dims.moe_index(layer)) *
                                               dims.experts * dims.hidden;
  const float* norm = p.weights.ffn_norm + static_cast<std::int64_t>(layer) * dims.hidden + col;
  RouterPart part;
  for (int k = warp * kRouterStep; k < slice; k += kWarps * kRouterStep) {
    float4 xs[2][2];
    float4 ws[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      xs[i / 2][i % 2] = *reinterpret_cast<const float4*>(
          row_of(x, first_token + i * 8 + lane / 4, p.batch.tokens) + k);
    }
    const float4 n = *reinterpret_cast<const float4*>(norm + k);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float4 w = *reinterpret_cast<const float4*>(
          row_of(router, first_expert + i * 8 + lane / 4, dims.experts) + k);
      ws[i] = make_float4(w.x * n.x, w.y * n.y, w.z * n.z, w.w * n.w);
    }
    part.add(xs, ws);
  }
  sums.store(part, warp, lane);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kRouterTokens * kRouterExperts; i += kThreads) {
    const int token = i / kRouterExperts;
    const int expert = i % kRouterExperts;
    if (first_token + token >= p.batch.tokens || first_expert + expert >= dims.experts) continue;
    float2 sum = make_float2(0.0F, 0.0F);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      sum.x += sums.dot[w][token][expert];
      sum.y += sums.squares[w][token];
    }
    p.buffers
        .router_parts[(static_cast<std::int64_t>(first_token + token) * kRouterParts + blockIdx.z) *
                          dims.experts +
                      first_expert + expert] = sum;
  }
}

__global__ void choose_kernel(const __grid_constant__ StepParams p, int layer) {
  const int token = global_warp();
  const int lane = lane_id();
  if (token >= p.batch.tokens) return;
  const step::Choice choice =
      step::choose_experts(p, layer, token, p.batch.token[token], router_slices(p.dims), lane);
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
  const float scale = rsqrtf(block_total(squares, of_warp) / hidden + p.dims.norm_epsilon);
  // A thread reads back only what it wrote itself.
  for (int c = static_cast<int>(threadIdx.x) * 8; c < hidden; c += kThreads * 8) {
    store_normed(next.out + static_cast<std::int64_t>(token) * hidden + c, load_eight(out + c),
                 scale, load_eight(next.weight + c));
  }
}

}  // namespace

cudaError_t route_rows(const StepParams& params, int layer, const float* x, cudaStream_t stream) {
  const dim3 grid((params.batch.tokens + kRouterTokens - 1) / kRouterTokens,
                  (params.dims.experts + kRouterExperts - 1) / kRouterExperts,
                  router_slices(params.dims));
  const cudaError_t error =
      launch_kernel(router_kernel, grid, kThreads, 0, stream, params, layer, x);
  if (error != cudaSuccess) return error;
  return launch_kernel(choose_kernel, blocks_of_warps(params.batch.tokens), kThreads, 0, stream,
                       params, layer);
}

cudaError_t group_by_expert(const StepParams& params, int* begin, int* place_of,
                            cudaStream_t stream) {
  return launch_kernel(group_kernel, params.dims.experts, kGroupThreads, 0, stream, params, begin,
                       place_of);
}

cudaError_t combine_experts(const StepParams& params, const __nv_bfloat16* expert_out,
                            const int* place_of, float* x, const NextNorm& next,
                            cudaStream_t stream) {
  return launch_kernel(combine_kernel, params.batch.tokens, kThreads, 0, stream, params, expert_out,
                       place_of, x, next);
}

}  // namespace caretd::kernels::cuda
