// Products of a step of one token: what the weights' format and the device make of the activation
// row, of a tile's sums, and of the values that operations hand on to the next product.
#pragma once

#include "kernels/cuda/step/norm.cuh"
#include "kernels/cuda/step/words.cuh"
#if CARETD_WARPGROUP_PRODUCTS
#include "kernels/cuda/step/split_row.cuh"
#endif

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Whether the row is split and the warpgroups multiply (split_row.cuh).
template <Format F>
inline constexpr bool kSplitsRow =
    CARETD_WARPGROUP_PRODUCTS != 0 && F == Format::fp8&& kTokenLimit == 1;

/// Shares of a tile's sums, one of each consumer warp.
using TileShares = float[kStepConsumerWarps][kTileSumPitch];

/// The staged row, or a part of it, and products with it by the instructions of single warps. All
/// consumer warps call everything.
template <Format F, bool kSplit = kSplitsRow<F>>
struct SingleRow {
  /// Of a tile.
  struct Sums {
    float acc[1][4] = {};
  };
  Operand<1> operand;

  __device__ explicit SingleRow(const Block& block) : operand(staged_operand<1>(block)) {}

  /// Stages four columns of a token's row: those from 128 group + 4 lane on.
  static __device__ __forceinline__ void store(const Block& block, int token, int group, float4 v) {
    store_activation4<F>(staged_row(block, token), group * 128 + block.lane * 4, v);
  }
  /// Stages what a lane has of a group of 128 columns, two words, as columns of a row that begins
  /// `before` columns behind the staged row's begin. `pass` is that of the group's part of a split
  /// row, and `group_of_part` its place in it.
  using Staged = uint2;
  [[nodiscard]] static __device__ __forceinline__ Staged stageable(uint2 words) { return words; }
  static __device__ __forceinline__ void stage(const Block& block, int before, int group,
                                               int /*pass*/, int /*group_of_part*/,
                                               const Staged& words) {
    const int column = before + group * 128 + block.lane * 4;
    store_shared(shared_address(staged_row(block, 0)) + column * 2, words);
  }
  /// Whoever stored calls this before the barrier behind which others multiply.
  static __device__ __forceinline__ void stored() {}

  /// The part that begins `columns` further on.
  __device__ __forceinline__ void skip(int columns) { operand.row[0] += columns; }

  __device__ __forceinline__ void add_tile(Block& block, const PackedShape& shape,
                                           Sums& sums) const {
    CARETD_STEP_NAMESPACE::add_tile<F, 1>(block, shape, operand, sums.acc);
  }
  template <int kColumns>
  __device__ __forceinline__ void add_part(Block& block, Sums& sums) const {
    add_tile(block, PackedShape{F, kTileRows, kColumns}, sums);
  }
  /// A warp's share of the sums of all 16 rows, and their totals.
  static __device__ __forceinline__ void store(const Block& block, const Sums& sums, float* to) {
    if (block.lane % 4 != 0) return;
    to[block.lane / 4] = sums.acc[0][0];
    to[block.lane / 4 + kStripRows] = sums.acc[0][2];
  }
  [[nodiscard]] static __device__ __forceinline__ float total(const TileShares& shares, int row) {
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStepConsumerWarps; ++warp) total += shares[warp][row];
    return total;
  }
  /// Of the columns that are handed on: the one at a place of a row's words, and how many times too
  /// large its value is there.
  [[nodiscard]] static __device__ __forceinline__ int column(int position) {
    return activation_column(F, position);
  }
  static constexpr float kPublishedScale = activation_scale(F);

  /// Hands on column k of a later product's row; see publish_activation.
  static __device__ __forceinline__ void publish_column(StepWord* row, int k, float value,
                                                        bool valid, unsigned mark) {
    publish_activation<F>(row, k, value, valid, mark);
  }
};

#if CARETD_WARPGROUP_PRODUCTS
/// The same by those of warpgroups.
template <Format F>
struct SingleRow<F, true> {
  struct Sums {
    float value = 0.0F;
  };
  SplitRow row;

  __device__ explicit SingleRow(const Block& block) : row(staged(block)) {}

  static __device__ __forceinline__ SplitRow staged(const Block& block) {
    return {shared_address(block.activations())};
  }
  static __device__ __forceinline__ void store(const Block& block, int /*token*/, int group,
                                               float4 v) {
    staged(block).store(group, block.lane, SplitRow::split(v));
  }
  using Staged = SplitRow::Columns;
  [[nodiscard]] static __device__ __forceinline__ Staged stageable(uint2 words) {
    const float2 low = unpack_bf16(words.x);
    const float2 high = unpack_bf16(words.y);
    return SplitRow::split(make_float4(low.x, low.y, high.x, high.y));
  }
  static __device__ __forceinline__ void stage(const Block& block, int before, int /*group*/,
                                               int pass, int group_of_part, const Staged& columns) {
    staged(block).from_pass(split_passes(before) + pass).store(group_of_part, block.lane, columns);
  }
  static __device__ __forceinline__ void stored() { fence_shared_for_copies(); }

  /// Parts begin with a pass.
  __device__ __forceinline__ void skip(int columns) { row = row.from_pass(split_passes(columns)); }
  __device__ __forceinline__ void add_tile(Block& block, const PackedShape& shape,
                                           Sums& sums) const {
    constexpr int kPasses = chunk_columns(F) / kSplitPassColumns;
    static_assert(kPasses == 2);
#pragma unroll 1
    for (int chunk = 0; chunk < shape.chunks(); ++chunk) {
      const int width = shape.chunk_width(chunk);
      const SplitRow part = row.from_pass(chunk * kPasses);
      // Branches around single products would make the compiler wait for each of them.
      if (width > kSplitPassColumns) {
        add_split_stage<2>(block, width, part, sums.value);
      } else {
        add_split_stage<1>(block, width, part, sums.value);
      }
    }
  }
  /// A tile of kColumns, two stages at a time.
  template <int kColumns>
  __device__ __forceinline__ void add_part(Block& block, Sums& sums) const {
    constexpr PackedShape shape{F, kTileRows, kColumns};
    constexpr int kPasses = chunk_columns(F) / kSplitPassColumns;
    constexpr int kLast = shape.chunk_width(shape.chunks() - 1);
#pragma unroll
    for (int chunk = 0; chunk + 1 < shape.chunks(); chunk += 2) {
      const SplitRow part = row.from_pass(chunk * kPasses);
      if (chunk + 2 == shape.chunks()) {
        add_two_split_stages<kLast>(block, part, sums.value);
      } else {
        add_two_split_stages<chunk_columns(F)>(block, part, sums.value);
      }
    }
    if constexpr (shape.chunks() % 2 != 0) {
      add_split_stage<split_passes(kLast)>(
          block, kLast, row.from_pass((shape.chunks() - 1) * kPasses), sums.value);
    }
  }
  /// A warp has the sums of one strip, in the lanes of its own columns.
  static __device__ __forceinline__ void store(const Block& block, const Sums& sums, float* to) {
    if (block.lane % 4 != block.warp % 4) return;
    to[block.warp / 4 * kStripRows + block.lane / 4] = sums.value;
  }
  [[nodiscard]] static __device__ __forceinline__ float total(const TileShares& shares, int row) {
    const int first = row / kStripRows * 4;
    return shares[first][row] + shares[first + 1][row] + shares[first + 2][row] +
           shares[first + 3][row];
  }
  [[nodiscard]] static __device__ __forceinline__ int column(int position) {
    return position;
  }
  static constexpr float kPublishedScale = 1.0F;

  /// Pairs of neighbouring columns, as BF16.
  static __device__ __forceinline__ void publish_column(StepWord* row, int k, float value,
                                                        bool valid, unsigned mark) {
    const float partner = __shfl_xor_sync(~0U, value, 1);
    if (valid && k % 2 == 0) publish(row + k / 2, pack_bf16(value, partner), mark);
  }
};
#endif

/// A whole tile.
template <Format F>
__device__ __forceinline__ typename SingleRow<F>::Sums multiply_single(Block& block,
                                                                       const PackedShape& shape,
                                                                       const SingleRow<F>& row) {
  typename SingleRow<F>::Sums sums;
  row.add_tile(block, shape, sums);
  return sums;
}
/// The same where the tile is in the ring by the time the row is there.
template <Format F, int kColumns>
__device__ __forceinline__ typename SingleRow<F>::Sums multiply_waiting(Block& block,
                                                                        const SingleRow<F>& row) {
  typename SingleRow<F>::Sums sums;
  row.template add_part<kColumns>(block, sums);
  return sums;
}

/// Calls visit(total) in the warp whose turn it is, total(row) being the sum of a row of the tile;
/// all consumer warps.
template <Format F, class Visit>
__device__ __forceinline__ void finish_single(Block& block, const typename SingleRow<F>::Sums& sums,
                                              Visit&& visit) {
  auto& shares = *reinterpret_cast<TileShares*>(block.scratch() + block.tiles % 2 * kTileSumBytes);
  SingleRow<F>::store(block, sums, shares[block.warp]);
  consumer_sync();
  if ((block.warp + block.tiles) % kStepConsumerWarps == 0) {
    visit([&](int row) { return SingleRow<F>::total(shares, row); });
  }
  ++block.tiles;
}

/// A thread's place among the results of the next tile that is finished, which are dealt to whole
/// warps: row place % 16 of token place / 16.
[[nodiscard]] __device__ __forceinline__ int result_place(const Block& block) {
  return (static_cast<int>(threadIdx.x) + block.tiles % kStepConsumerWarps * 32) % kStepConsumers;
}
/// Whether the thread's warp gets results, and then the token of the thread's.
[[nodiscard]] __device__ __forceinline__ bool has_results(const Block& block, int place) {
  return place / 32 * 32 < block.tokens() * kTileRows;
}
[[nodiscard]] __device__ __forceinline__ int result_token(const Block& block, int place) {
  return min(place / kTileRows, block.tokens() - 1);
}

/// Calls visit(row, token, value, valid) for the results of a tile, in whole warps whose lanes have
/// neighbouring rows; what is not valid means nothing. All consumer warps.
template <Format F, class Visit>
__device__ __forceinline__ void finish_rows(Block& block, const typename SingleRow<F>::Sums& sums,
                                            Visit&& visit) {
  if constexpr (kTokenLimit == 1) {
    finish_single<F>(block, sums, [&](auto&& total) {
      const int row = block.lane % kTileRows;
      visit(row, 0, total(row), block.lane < kTileRows);
    });
  } else {
    finish_tile<1>(block, sums.acc, [&](const TileSums& all, int /*first*/, int tokens) {
      const int place = result_place(block);
      if (!has_results(block, place)) return;
      const int row = place % kTileRows;
      const int token = result_token(block, place);
      visit(row, token, all.sum(row, token), place < tokens * kTileRows);
    });
  }
}

/// The token whose row a lane loads as its column of B.
[[nodiscard]] __device__ __forceinline__ int lane_token(const Block& block) {
  return min(block.lane / 4, block.tokens() - 1);
}

// Where a block has many tiles in a row, a warp that finishes one holds up its warpgroup, which
// multiplies together. There the consumers hand their shares to the epilogue warp instead and go on
// with the next tile.

/// The consumers' side; all their warps.
template <Format F>
__device__ __forceinline__ void hand_over(Block& block, const typename SingleRow<F>::Sums& sums) {
  SharedHeader& header = *block.header;
  const unsigned place = block.handed % kHandovers;
  mbarrier_wait(shared_address(&header.sums_read[place]), block.handed / kHandovers % 2 ^ 1U);
  SingleRow<F>::store(block, sums, header.sums[place][block.warp]);
  named_barrier_arrive(kSumsBarrier + place, kStepConsumers + 32);
  ++block.handed;
}

/// The epilogue warp's side: visit(total) for the next tile.
template <Format F, class Visit>
__device__ __forceinline__ void take_over(Block& block, Visit&& visit) {
  SharedHeader& header = *block.header;
  const unsigned place = block.handed % kHandovers;
  named_barrier_sync(kSumsBarrier + place, kStepConsumers + 32);
  visit([&](int row) { return SingleRow<F>::total(header.sums[place], row); });
  __syncwarp();
  if (block.lane == 0) mbarrier_arrive(shared_address(&header.sums_read[place]));
  ++block.handed;
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
