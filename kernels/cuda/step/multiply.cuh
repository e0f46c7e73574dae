// Weight tiles times the activations of the step's tokens on the tensor cores: a tile of 16 rows is
// the A operand, the tokens are the columns of B, eight to an mma. Every consumer warp takes its
// share of the columns of every stage, so that stages are used in the order in which they arrive;
// the warps' sums are added when a tile is complete.
//
// NT is the number of 8-token column tiles. A lane (g = lane / 4, t = lane % 4) loads B for token
// g + 8 nt and holds results of rows g, g + 8 for tokens 8 nt + 2t, 8 nt + 2t + 1.
#pragma once

#include "kernels/cuda/step/block.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The activation rows a lane reads, in the activation order of the weights' format, already
/// advanced to the lane's eight values of a 32-column group. A null row counts as zeros.
template <int NT>
struct Operand {
  const __nv_bfloat16* row[NT];

  [[nodiscard]] __device__ __forceinline__ uint4 load(int nt, int k) const {
    if (row[nt] == nullptr) return make_uint4(0, 0, 0, 0);
    return *reinterpret_cast<const uint4*>(row[nt] + k);
  }
};

/// Rows base + token * pitch (elements); columns past the last token repeat it, their results are
/// dropped.
template <int NT>
__device__ __forceinline__ Operand<NT> operand_rows(const Block& block, const __nv_bfloat16* base,
                                                    std::int64_t pitch) {
  Operand<NT> operand;
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
    const int token = min(nt * 8 + block.lane / 4, block.tokens() - 1);
    operand.row[nt] = base + token * pitch + block.lane % 4 * 8;
  }
  return operand;
}

template <int NT>
__device__ __forceinline__ void clear(float (&acc)[NT][4]) {
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
#pragma unroll
    for (int i = 0; i < 4; ++i) acc[nt][i] = 0.0F;
  }
}

/// Groups of 32 columns that a warp takes of a full stage.
template <Format F>
inline constexpr int kWarpGroups = chunk_columns(F) / 32 / kStepConsumerWarps;
static_assert(kWarpGroups<Format::fp8> * 32 <= kScaleColumns);

/// Few tokens: every eighth group, so that the warps share a narrow stage evenly, and a sum of
/// each, so that none waits for the one before it. Many tokens: neighbouring groups, which for FP8
/// have one scale, and one sum.
template <int NT>
inline constexpr bool kGroupsApart = NT == 1;

template <Format F, int NT>
[[nodiscard]] __device__ __forceinline__ int group_column(const Block& block, int group) {
  return (kGroupsApart<NT> ? group * kStepConsumerWarps + block.warp
                           : block.warp * kWarpGroups<F> + group) *
         32;
}

/// B of a warp's columns of one stage.
template <Format F, int NT>
struct StageOperand {
  uint4 b[kWarpGroups<F>][NT];

  /// `k` is the first column of the stage, `width` its number of columns.
  __device__ __forceinline__ void load(const Block& block, const Operand<NT>& operand, int k,
                                       int width) {
#pragma unroll
    for (int g = 0; g < kWarpGroups<F>; ++g) {
      const int column = group_column<F, NT>(block, g);
#pragma unroll
      for (int nt = 0; nt < NT; ++nt) {
        b[g][nt] = make_uint4(0, 0, 0, 0);
        if (column < width) b[g][nt] = operand.load(nt, k + column);
      }
    }
  }
};

/// A of 32 columns of a tile. `a` is this lane's ldmatrix address.
template <Format F>
struct Fragment {
  uint4 raw[F == Format::bf16 ? 2 : 1];

  __device__ __forceinline__ void load(std::uint32_t a) {
    raw[0] = load_matrix_x4(a);
    if constexpr (F == Format::bf16) raw[1] = load_matrix_x4(a + 256);
  }
  /// Depends on every load.
  [[nodiscard]] __device__ __forceinline__ unsigned loaded() const {
    if constexpr (F == Format::bf16) {
      return raw[0].x ^ raw[1].x;
    } else {
      return raw[0].x;
    }
  }
  /// acc += fragment * b.
  template <int NT>
  __device__ __forceinline__ void multiply(const uint4 (&b)[NT], float (&acc)[NT][4]) const {
    uint4 first = raw[0];
    uint4 second;
    if constexpr (F == Format::bf16) {
      second = raw[1];
    } else {
      widen_fp8(raw[0].x, first.x, first.z);
      widen_fp8(raw[0].y, first.y, first.w);
      widen_fp8(raw[0].z, second.x, second.z);
      widen_fp8(raw[0].w, second.y, second.w);
    }
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
      multiply_accumulate(acc[nt], first, b[nt].x, b[nt].y);
      multiply_accumulate(acc[nt], second, b[nt].z, b[nt].w);
    }
  }
};

/// acc += 32 columns of a tile times the operand; gives what release() waits for.
template <Format F, int NT>
__device__ __forceinline__ unsigned multiply_group(std::uint32_t a, const uint4 (&b)[NT],
                                                   float (&acc)[NT][4]) {
  Fragment<F> fragment;
  fragment.load(a);
  fragment.template multiply<NT>(b, acc);
  return fragment.loaded();
}

/// This lane's ldmatrix address of the first group of a stage of `width` columns.
template <Format F>
__device__ __forceinline__ std::uint32_t fragment_address(const Block& block, std::uint32_t stage,
                                                          int width) {
  return stage + (block.lane / 8 & 1) * (kStripRows * width * element_bytes(F)) +
         block.lane / 16 * 128 + block.lane % 8 * 16;
}

/// This warp's columns of a stage, which is a chunk of a tile (layout.h). Without branches, so that
/// the loads of all groups are on their way together: a group past the width repeats the last one
/// and meets an operand of zeros.
template <Format F, int NT>
struct StageShare {
  static constexpr int kGroups = kWarpGroups<F>;
  static constexpr int kSums = kGroupsApart<NT> ? kGroups : 1;
  Fragment<F> fragment[kGroups];
  float2 scale[kSums];

  __device__ __forceinline__ void load(const Block& block, std::uint32_t stage, int width) {
    const std::uint32_t a = fragment_address<F>(block, stage, width);
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int column = min(group_column<F, NT>(block, g), width - 32);
      fragment[g].load(a + column * (kStripRows * element_bytes(F)));
      if (g >= kSums) continue;
      scale[g] = make_float2(1.0F, 1.0F);
      if constexpr (F == Format::fp8) {
        const std::uint32_t scales = stage + kTileRows * width + column / kScaleColumns * 4;
        scale[g] = make_float2(load_shared_float(scales), load_shared_float(scales + 32));
      }
    }
  }
  [[nodiscard]] __device__ __forceinline__ unsigned loaded() const {
    unsigned all = 0;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) all ^= fragment[g].loaded();
    return all;
  }
  /// acc += share * operand.
  __device__ __forceinline__ void multiply(const StageOperand<F, NT>& operand,
                                           float (&acc)[NT][4]) const {
    if constexpr (F == Format::bf16 && !kGroupsApart<NT>) {
#pragma unroll
      for (int g = 0; g < kGroups; ++g) fragment[g].template multiply<NT>(operand.b[g], acc);
    } else {
#pragma unroll
      for (int s = 0; s < kSums; ++s) {
        float part[NT][4];
        clear<NT>(part);
#pragma unroll
        for (int g = s; g < kGroups; g += kSums) {
          fragment[g].template multiply<NT>(operand.b[g], part);
        }
#pragma unroll
        for (int nt = 0; nt < NT; ++nt) {
          acc[nt][0] += scale[s].x * part[nt][0];
          acc[nt][1] += scale[s].x * part[nt][1];
          acc[nt][2] += scale[s].y * part[nt][2];
          acc[nt][3] += scale[s].y * part[nt][3];
        }
      }
    }
  }
};

/// The warps' sums of a tile for up to eight tokens, in shared memory.
struct TileSums {
  float* at;

  static __device__ __forceinline__ int place(int warp, int token) {
    return (warp * 8 + token) * kTileSumPitch;
  }
  __device__ __forceinline__ void store(const Block& block, int tokens,
                                        const float (&acc)[4]) const {
    const int token = block.lane % 4 * 2;
    float* to = at + place(block.warp, token) + block.lane / 4;
    if (token < tokens) {
      to[0] = acc[0];
      to[8] = acc[2];
    }
    if (token + 1 < tokens) {
      to[kTileSumPitch] = acc[1];
      to[kTileSumPitch + 8] = acc[3];
    }
  }
  /// Over the warps first, first + step, ...
  [[nodiscard]] __device__ __forceinline__ float sum(int row, int token, int first = 0,
                                                     int step = 1) const {
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStepConsumerWarps; warp += step) {
      total += at[place(first + warp, token) + row];
    }
    return total;
  }
};

/// Calls visit(sums, first token, tokens) once the sums of all warps are in shared memory, for
/// every eight tokens. All consumer warps; visit() must not wait for others.
template <int NT, class Visit>
__device__ __forceinline__ void finish_tile(Block& block, const float (&acc)[NT][4],
                                            Visit&& visit) {
  const TileSums sums{
      reinterpret_cast<float*>(block.scratch() + (NT == 1 ? block.tiles % 2 * kTileSumBytes : 0))};
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
    const int tokens = min(8, block.tokens() - nt * 8);
    if (tokens <= 0) break;
    sums.store(block, tokens, acc[nt]);
    consumer_sync();
    visit(sums, nt * 8, tokens);
    // One token tile: who is here writes the other area next, and meets the readers of this one at
    // the barrier before it is written again.
    if constexpr (NT > 1) consumer_sync();
  }
  ++block.tiles;
}

/// Deals `rows` x `tokens` results to the threads, from tile to tile starting with another warp.
template <class Visit>
__device__ __forceinline__ void for_results(const Block& block, int rows, int tokens,
                                            Visit&& visit) {
  const unsigned shift = block.tiles % kStepConsumerWarps * 32;
#pragma unroll 1
  for (int i = (threadIdx.x + shift) % kStepConsumers; i < rows * tokens; i += kStepConsumers) {
    visit(i % rows, i / rows);
  }
}

/// Finishes a tile with store(row, token, value).
template <int NT, class Store>
__device__ __forceinline__ void store_tile(Block& block, int tile, const float (&acc)[NT][4],
                                           Store&& store) {
  finish_tile<NT>(block, acc, [&](const TileSums& sums, int first, int tokens) {
    for_results(block, kTileRows, tokens, [&](int row, int token) {
      store(tile * kTileRows + row, first + token, sums.sum(row, token));
    });
  });
}

/// Columns of an operand that meet a stage.
template <int NT>
struct StageColumns {
  Operand<NT> operand;
  int first;
  int width;
};

/// acc += the next stage times `operand`.
template <Format F, int NT>
__device__ __forceinline__ void add_stage(Block& block, int width,
                                          const StageOperand<F, NT>& operand, float (&acc)[NT][4]) {
  StageShare<F, NT> share;
  share.load(block, await_stage(block, block.next), width);
  share.multiply(operand, acc);
  release(block, share.loaded());
}

/// acc += the next stages times columns k, k + 1, ... of an operand that is close at hand.
template <Format F, int NT>
__device__ __forceinline__ void add_tile(Block& block, const PackedShape& shape,
                                         const Operand<NT>& operand, float (&acc)[NT][4]) {
#pragma unroll 2
  for (int chunk = 0; chunk < shape.chunks(); ++chunk) {
    const int width = shape.chunk_width(chunk);
    StageOperand<F, NT> b;
    b.load(block, operand, chunk * chunk_columns(F), width);
    add_stage<F, NT>(block, width, b, acc);
  }
}
template <Format F, int NT>
__device__ __forceinline__ void multiply_tile(Block& block, const PackedShape& shape,
                                              const Operand<NT>& operand, float (&acc)[NT][4]) {
  clear<NT>(acc);
  add_tile<F, NT>(block, shape, operand, acc);
}

/// How many stages' operands are loaded together where they come from L2.
template <Format F, int NT>
inline constexpr int kAheadStages = NT* kWarpGroups<F> >= 4 ? 1 : 4 / (NT * kWarpGroups<F>);

/// acc += `count` stages of one tile whose operands are in device memory: describe(i) gives the
/// columns of stage i. Loads of several stages are on their way together.
template <Format F, int NT, class Describe>
__device__ __forceinline__ void multiply_stages(Block& block, int count, Describe&& describe,
                                                float (&acc)[NT][4]) {
  constexpr int kAhead = kAheadStages<F, NT>;
#pragma unroll 1
  for (int begin = 0; begin < count; begin += kAhead) {
    StageOperand<F, NT> b[kAhead];
    int width[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (begin + i >= count) break;
      const StageColumns<NT> columns = describe(begin + i);
      width[i] = columns.width;
      b[i].load(block, columns.operand, columns.first, columns.width);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (begin + i >= count) break;
      add_stage<F, NT>(block, width[i], b[i], acc);
    }
  }
}

template <Format F>
__device__ __forceinline__ void store_activation(__nv_bfloat16* row, int k, float value) {
  row[activation_position(F, k)] = __float2bfloat16(value * activation_scale(F));
}

/// Columns k .. k + 3 (k a multiple of 4) of an activation row.
template <Format F>
__device__ __forceinline__ void store_activation4(__nv_bfloat16* row, int k, float4 v) {
  if constexpr (F == Format::bf16) {
    __nv_bfloat16* at = row + activation_position(F, k);
    *reinterpret_cast<std::uint32_t*>(at) = pack_bf16(v.x, v.y);
    *reinterpret_cast<std::uint32_t*>(at + 8) = pack_bf16(v.z, v.w);
  } else {
    constexpr float s = activation_scale(F);
    *reinterpret_cast<uint2*>(row + activation_position(F, k + 1)) =
        make_uint2(pack_bf16(v.y * s, v.w * s), pack_bf16(v.x * s, v.z * s));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
