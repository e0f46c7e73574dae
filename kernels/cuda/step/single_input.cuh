// How an operation of a step of one token gets at its input, and hands on what a tile gives.
#pragma once

#include "kernels/cuda/step/norm.cuh"
#include "kernels/cuda/step/words.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The sizes, as constants.
inline constexpr StepDims kSingle = CARETD_STEP_SIZES();

/// Marks of a step's words. x is written twice in a layer, everything else once.
struct Marks {
  unsigned first;  ///< of the step

  [[nodiscard]] __device__ unsigned x_before(int layer) const { return first + 2 * layer; }
  [[nodiscard]] __device__ unsigned x_between(int layer) const { return first + 2 * layer + 1; }
  [[nodiscard]] __device__ unsigned within(int layer) const { return first + 2 * layer + 1; }
};

/// Hands the sums of a tile to the warp whose turn it is: visit(sums), all 32 lanes.
template <class Visit>
__device__ __forceinline__ void finish_in_one_warp(Block& block, const float (&acc)[1][4],
                                                   Visit&& visit) {
  finish_tile<1>(block, acc, [&](const TileSums& sums, int /*token*/, int /*tokens*/) {
    if ((block.warp + block.tiles) % kStepConsumerWarps == 0) visit(sums);
  });
}

/// A thread's columns of x and of vectors that meet it: kPieces times four neighbouring ones.
struct Columns {
  static constexpr int kWidth = kSingle.hidden;
  static constexpr int kPieces = kWidth / (kStepConsumers * 4);
  static_assert(kWidth % (kStepConsumers * 4) == 0);
  float4 v[kPieces];

  [[nodiscard]] static __device__ __forceinline__ int first(int piece) {
    return (piece * kStepConsumers + static_cast<int>(threadIdx.x)) * 4;
  }
  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      v[i] = __ldg(reinterpret_cast<const float4*>(from + first(i)));
  }
  __device__ __forceinline__ void await(const StepWord* from, unsigned mark) {
    uint2 words[2 * kPieces];
    await_words<2 * kPieces>(mark, words, [&](int i) { return from + first(i / 2) + i % 2 * 2; });
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const float2 low = as_floats(words[2 * i]);
      const float2 high = as_floats(words[2 * i + 1]);
      v[i] = make_float4(low.x, low.y, high.x, high.y);
    }
  }
  __device__ __forceinline__ void multiply(const Columns& by) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      v[i] = make_float4(v[i].x * by.v[i].x, v[i].y * by.v[i].y, v[i].z * by.v[i].z,
                         v[i].w * by.v[i].w);
    }
  }
  /// Of a thread's own columns.
  [[nodiscard]] __device__ __forceinline__ float dot(const Columns& by) const {
    float sum = 0.0F;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      sum += v[i].x * by.v[i].x + v[i].y * by.v[i].y + v[i].z * by.v[i].z + v[i].w * by.v[i].w;
    }
    return sum;
  }
};

/// The sum of what the consumer warps wrote.
__device__ __forceinline__ float sum_of_warps(const float* area) {
  float sum = 0.0F;
#pragma unroll
  for (int warp = 0; warp < kStepConsumerWarps; ++warp) sum += area[warp];
  return sum;
}

/// The marked x, normed, as activation row 0: like stage_norm, with x awaited instead of loaded.
/// with_x(x) is called before the consumers meet, and then_first(squares), with the sum of the
/// squares of x, in thread 0 after it.
template <Format F, class Meanwhile, class Afterwards>
__device__ __forceinline__ void await_norm(Block& block, const Columns& norm, unsigned mark,
                                           Meanwhile&& with_x, Afterwards&& then_first) {
  Columns x;
  x.await(block.p.words.x, mark);
#pragma unroll
  for (int i = 0; i < Columns::kPieces; ++i) {
    store_activation4<F>(staged_row(block, 0), Columns::first(i),
                         make_float4(x.v[i].x * norm.v[i].x, x.v[i].y * norm.v[i].y,
                                     x.v[i].z * norm.v[i].z, x.v[i].w * norm.v[i].w));
  }
  with_x(x);
  const float squares = warp_sum(x.dot(x));
  if (block.lane == 0) block.header->squares[0][block.warp] = squares;
  consumer_sync();
  end_operation(block);
  if (threadIdx.x == 0) {
    const float sum = sum_of_warps(block.header->squares[0]);
    block.header->scale[0] =
        rsqrtf(sum / static_cast<float>(Columns::kWidth) + block.p.dims.norm_epsilon);
    then_first(sum);
  }
}
template <Format F>
__device__ __forceinline__ void await_norm(Block& block, const float* weight, unsigned mark) {
  Columns norm;
  norm.load(weight);
  await_norm<F>(
      block, norm, mark, [](const Columns&) {}, [](float) {});
}

/// Words [0, kColumns / 2) as activation row 0, for all consumers.
template <int kColumns>
__device__ __forceinline__ void await_row(const Block& block, const StepWord* row, unsigned mark) {
  constexpr int kPairs = kColumns / 4;
  constexpr int kPieces = (kPairs + kStepConsumers - 1) / kStepConsumers;
  const auto pair_of = [](int i) { return i * kStepConsumers + static_cast<int>(threadIdx.x); };
  uint2 words[kPieces];
  await_words<kPieces>(mark, words, [&](int i) -> const StepWord* {
    return pair_of(i) < kPairs ? row + pair_of(i) * 2 : nullptr;
  });
  const std::uint32_t to = shared_address(staged_row(block, 0));
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    if (pair_of(i) < kPairs) store_shared(to + pair_of(i) * 8, words[i]);
  }
  consumer_sync();
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
