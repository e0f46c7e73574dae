// Products of a step's only activation row with FP8 weights by the matrix instructions of a
// warpgroup (compute capability 9.0), which read the weights as they lie in the ring: nothing is
// widened, and a stage costs a warp some hundred instructions instead of three hundred.
//
// wgmma multiplies 64 rows. A strip of a stage is 8 rows of up to 1,024 columns; its segments of 64
// columns lie one behind the other, so that eight of them (a pass) count as 64 rows of 64 columns.
// The activation row is given as a matrix of eight columns: column s holds what meets segment s. Of
// the 64 x 8 results only those of a segment with its own column are wanted.
//
// The weights' format decides the activations': E4M3. One such row would keep 4 significant bits,
// so there are two of them, the rounded values and 16 times what rounding left, which together keep
// 9, one more than BF16. Every 128 columns have a scale, a power of two.
#pragma once

#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/step/block.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Place of a row, or of a part of it that begins with a pass, in shared memory:
///   pass     [ceil(columns / 512)]
///   half     [2]                     rounded values, what rounding left
///   core     [4] of 16 columns       of every segment
///   segment  [8] of 16 bytes
///   scales   float [4], behind the halves: of the pass's groups of 128 columns
struct SplitRow {
  static constexpr int kSegment = 64;
  static constexpr int kHalfBytes = kSplitPassColumns;
  static constexpr int kCoreBytes = 128;
  static constexpr float kRest = 16.0F;  ///< what is left is stored so many times too large

  std::uint32_t at;

  [[nodiscard]] __device__ __forceinline__ SplitRow from_pass(int pass) const {
    return {at + pass * kSplitPassBytes};
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t scale(int group) const {
    return at + 2 * kHalfBytes + group * 4;
  }

  /// Columns 128 group + 4 lane and the next three as they are stored; all lanes of a warp.
  struct Columns {
    std::uint32_t rounded;
    std::uint32_t rest;
    std::uint32_t scale;  ///< bits, of the whole group
  };
  [[nodiscard]] static __device__ __forceinline__ Columns split(float4 v) {
    const float largest = fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));
    // Positive floats are in the order of their bits. Values up to 2^-99 count as zeros.
    const unsigned exponent =
        max(__reduce_max_sync(~0U, __float_as_uint(largest)) >> 23U, kLeastExponent);
    const float up = __uint_as_float((127 + kTopExponent + 127 - exponent) << 23U);
    v = make_float4(v.x * up, v.y * up, v.z * up, v.w * up);
    const std::uint32_t rounded = narrow_to_fp8(v);
    const float4 r = value_of_fp8(rounded);
    const std::uint32_t rest = narrow_to_fp8(make_float4((v.x - r.x) * kRest, (v.y - r.y) * kRest,
                                                         (v.z - r.z) * kRest, (v.w - r.w) * kRest));
    return {rounded, rest, (exponent - kTopExponent - kWeightExponent) << 23U};
  }
  /// Stores them, for a group of the first pass or a later one. Who multiplies must meet
  /// fence_shared_for_copies() and a barrier first.
  __device__ __forceinline__ void store(int group, int lane, const Columns& columns) const {
    const SplitRow pass = from_pass(group / 4);
    const std::uint32_t to =
        pass.at + lane % 16 / 4 * kCoreBytes + (group % 4 * 2 + lane / 16) * 16 + lane % 4 * 4;
    store_shared(to, columns.rounded);
    store_shared(to + kHalfBytes, columns.rest);
    if (lane == 0) store_shared(pass.scale(group % 4), columns.scale);
  }

 private:
  static constexpr unsigned kTopExponent = 7;  ///< the largest value of a group is in [2^7, 2^8)
  static constexpr unsigned kWeightExponent = 20;
  static_assert(kFp8WeightScale == 1U << kWeightExponent);
  static constexpr unsigned kLeastExponent = kTopExponent + kWeightExponent + 1;
};

/// A stage on its way through the matrix instructions.
template <int kPasses>
struct SplitStage {
  std::uint32_t stage;
  int width;  ///< columns
  SplitRow row;
  float d[kPasses][8];

  /// Waits for the stage at `place` and starts its products with the row's columns from `from` on.
  __device__ __forceinline__ SplitStage(const Block& block, const RingPlace& place, int columns,
                                        SplitRow from)
      : stage(await_stage(block, place)), width(columns), row(from) {
    const std::uint64_t a =
        shared_operand(stage + block.warp / 4 * kStripRows * width, SplitRow::kCoreBytes,
                       kStripRows * SplitRow::kSegment, SharedLayout::core_matrices);
    const std::uint64_t b = shared_operand(row.at, SplitRow::kCoreBytes, SplitRow::kHalfBytes,
                                           SharedLayout::core_matrices);
    products_begin();
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      multiply_shared_fp8(d[pass], operand_at(a, pass * kStripRows * kSplitPassColumns),
                          operand_at(b, pass * kSplitPassBytes), 2 * SplitRow::kCoreBytes);
    }
    products_commit();
  }
  /// Of this thread's columns: those of the weights times those of the row.
  __device__ __forceinline__ void load_scales(const Block& block, float (&scale)[kPasses]) const {
    const int group = block.warp % 4;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const std::uint32_t weights =
          stage + kTileRows * width +
          (block.warp / 4 * 8 + pass * 4 + group) * static_cast<int>(sizeof(float));
      scale[pass] =
          load_shared_float(weights) * load_shared_float(row.from_pass(pass).scale(group));
    }
  }
  /// This thread's part of the sums, once the products are there: lane 4 r + w % 4 of warp w has
  /// what row r of strip w / 4 has in its group of 128 columns w % 4 of each pass. What other lanes
  /// have means nothing.
  __device__ __forceinline__ float sum(const Block& block, const float (&scale)[kPasses]) {
    float sum = 0.0F;
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      const int column = pass * kSplitPassColumns + block.warp % 4 * kScaleColumns;
      if (column >= width) break;
      products_ready(d[pass]);
      float rounded = d[pass][0];
      float rest = d[pass][4];
      if (column + SplitRow::kSegment < width) {
        rounded += d[pass][3];
        rest += d[pass][7];
      }
      sum += scale[pass] * (rounded + rest * (1.0F / SplitRow::kRest));
    }
    return sum;
  }
};

/// sum += this thread's part of the next stage, `width` columns.
template <int kPasses>
__device__ __forceinline__ void add_split_stage(Block& block, int width, SplitRow row, float& sum) {
  SplitStage<kPasses> only(block, block.next, width, row);
  float scale[kPasses];
  only.load_scales(block, scale);
  products_wait<0>();
  release(block, 0);
  sum += only.sum(block, scale);
}

/// The same for two stages, the first one full. How long a stage takes is how long its products
/// take to begin and to end, so that two at a time take hardly longer than one. That pays where
/// both are in the ring already.
template <int kWidth>
__device__ __forceinline__ void add_two_split_stages(Block& block, SplitRow row, float& sum) {
  constexpr int kFull = chunk_columns(Format::fp8) / kSplitPassColumns;
  constexpr int kPasses = split_passes(kWidth);
  RingPlace place = block.next;
  SplitStage<kFull> first(block, place, chunk_columns(Format::fp8), row);
  place.advance(block.p.shared.slots);
  SplitStage<kPasses> second(block, place, kWidth, row.from_pass(kFull));
  float first_scale[kFull];
  float second_scale[kPasses];
  first.load_scales(block, first_scale);
  second.load_scales(block, second_scale);
  products_wait<0>();
  release(block, 0);
  release(block, 0);
  sum += first.sum(block, first_scale) + second.sum(block, second_scale);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
