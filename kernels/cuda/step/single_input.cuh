// How an operation of a step of few tokens gets at its input.
#pragma once

#include "kernels/cuda/step/single_multiply.cuh"

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

/// The place of a column of x among its words. A group of 128 columns is what the lanes of a warp
/// have four each of; the first two of all lanes lie in front of the others, so that both loads
/// of a warp are of neighbouring words.
[[nodiscard]] __device__ __forceinline__ constexpr int x_word(int column) {
  return column / 128 * 128 + column % 4 / 2 * 64 + column % 128 / 4 * 2 + column % 2;
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
  /// They are 128 group + 4 lane and the next three.
  [[nodiscard]] static __device__ __forceinline__ int group(const Block& block, int piece) {
    return piece * kStepConsumerWarps + block.warp;
  }
  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      v[i] = __ldg(reinterpret_cast<const float4*>(from + first(i)));
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

/// The same of x of all tokens of a step.
struct TokenColumns {
  Columns of[kTokenLimit];

  __device__ __forceinline__ void await(const Block& block, unsigned mark) {
    constexpr int kPairs = 2 * Columns::kPieces;
    uint2 words[kTokenLimit * kPairs];
    await_words<kTokenLimit * kPairs>(mark, words, [&](int i) -> const StepWord* {
      const int token = i / kPairs;
      if (token >= block.tokens()) return nullptr;
      return block.p.words.x + token * Columns::kWidth +
             x_word(Columns::first(i % kPairs / 2) + i % 2 * 2);
    });
#pragma unroll
    for (int i = 0; i < kTokenLimit * Columns::kPieces; ++i) {
      const float2 low = as_floats(words[2 * i]);
      const float2 high = as_floats(words[2 * i + 1]);
      of[i / Columns::kPieces].v[i % Columns::kPieces] = make_float4(low.x, low.y, high.x, high.y);
    }
  }
};

/// The sum of what the consumer warps wrote.
__device__ __forceinline__ float sum_of_warps(const float* area) {
  float sum = 0.0F;
#pragma unroll
  for (int warp = 0; warp < kStepConsumerWarps; ++warp) sum += area[warp];
  return sum;
}

/// The marked x, normed, as activation rows: like stage_norm, with x awaited instead of loaded.
/// with_x(x) is called before the consumers meet, and then_first() in thread 0 when the tokens'
/// 1 / rms stand.
template <Format F, class Meanwhile, class Afterwards>
__device__ __forceinline__ void await_norm(Block& block, const Columns& norm, unsigned mark,
                                           Meanwhile&& with_x, Afterwards&& then_first) {
  TokenColumns x;
  x.await(block, mark);
#pragma unroll
  for (int token = 0; token < kTokenLimit; ++token) {
    if (token >= block.tokens()) break;
    const Columns& own = x.of[token];
#pragma unroll
    for (int i = 0; i < Columns::kPieces; ++i) {
      SingleRow<F>::store(block, token, Columns::group(block, i),
                          make_float4(own.v[i].x * norm.v[i].x, own.v[i].y * norm.v[i].y,
                                      own.v[i].z * norm.v[i].z, own.v[i].w * norm.v[i].w));
    }
  }
  SingleRow<F>::stored();
  with_x(x);
#pragma unroll
  for (int token = 0; token < kTokenLimit; ++token) {
    if (token >= block.tokens()) break;
    const float squares = warp_sum(x.of[token].dot(x.of[token]));
    if (block.lane == 0) block.header->squares[token][block.warp] = squares;
  }
  consumer_sync();
  end_operation(block);
  if (threadIdx.x < static_cast<unsigned>(block.tokens())) {
    const float sum = sum_of_warps(block.header->squares[threadIdx.x]);
    block.header->scale[threadIdx.x] =
        rsqrtf(sum / static_cast<float>(Columns::kWidth) + block.p.dims.norm_epsilon);
  }
  if constexpr (kTokenLimit > 1) {
    if (block.warp == 0) __syncwarp();
  }
  if (threadIdx.x == 0) then_first();
}
template <Format F>
__device__ __forceinline__ void await_norm(Block& block, const float* weight, unsigned mark) {
  Columns norm;
  norm.load(weight);
  await_norm<F>(
      block, norm, mark, [](const TokenColumns&) {}, [] {});
}

/// Groups of a row that a warp waits for together. All of a long row at once would be asked for
/// again and again while its last columns are computed; once the first are there, most of the
/// others are, too.
inline constexpr int kRowAhead = 6;

/// Stages the kColumns columns of a row, which are one part, from their words, `before` columns
/// behind the staged row's begin; for all consumers.
template <Format F, int kColumns>
__device__ __forceinline__ void await_row(const Block& block, const StepWord* row, unsigned mark,
                                          int before = 0) {
  constexpr int kGroups = (kColumns + 127) / 128;
  constexpr int kPieces = (kGroups + kStepConsumerWarps - 1) / kStepConsumerWarps;
  constexpr int kAhead = kPieces < kRowAhead ? kPieces : kRowAhead;
#pragma unroll 1
  for (int begin = 0; begin < kPieces; begin += kAhead) {
    const auto group_of = [&](int i) { return (begin + i) * kStepConsumerWarps + block.warp; };
    uint2 words[kAhead];
    await_words<kAhead>(mark, words, [&](int i) -> const StepWord* {
      const int column = group_of(i) * 128 + block.lane * 4;
      return column < kColumns ? row + column / 2 : nullptr;
    });
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const auto staged = SingleRow<F>::stageable(words[i]);
      const int group = group_of(i);
      if (group < kGroups) SingleRow<F>::stage(block, before, group, 0, group, staged);
    }
  }
  SingleRow<F>::stored();
  consumer_sync();
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
