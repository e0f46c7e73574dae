// Weight tiles times the activations of the step's tokens on the tensor cores: a tile of 16 rows is
// the A operand, the tokens are the columns of B, eight to an mma.
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

/// acc += 32 columns of a tile times the operand. `a` is this lane's ldmatrix address.
template <Format F, int NT>
__device__ __forceinline__ void multiply_group(std::uint32_t a, const uint4 (&b)[NT],
                                               float (&acc)[NT][4]) {
  uint4 first;
  uint4 second;
  if constexpr (F == Format::bf16) {
    first = load_matrix_x4(a);
    second = load_matrix_x4(a + 256);
  } else {
    const uint4 bytes = load_matrix_x4(a);
    widen_fp8(bytes.x, first.x, first.z);
    widen_fp8(bytes.y, first.y, first.w);
    widen_fp8(bytes.z, second.x, second.z);
    widen_fp8(bytes.w, second.y, second.w);
  }
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
    multiply_accumulate(acc[nt], first, b[nt].x, b[nt].y);
    multiply_accumulate(acc[nt], second, b[nt].z, b[nt].w);
  }
}

/// acc += one chunk of a tile (layout.h), `width` columns starting at column `k` of the operand.
/// The warps of a team take blocks of 128 columns in turn: this one starts with block `first`.
/// `whole` says that width is a multiple of 128 (known at compile time more often than width is).
/// `wait` is called once, after the first loads of the operand are on their way.
template <Format F, int NT, class Wait>
__device__ __forceinline__ void multiply_chunk(const Block& block, std::uint32_t chunk, int width,
                                               bool whole, int first, const Operand<NT>& operand,
                                               int k, Wait&& wait, float (&acc)[NT][4]) {
  constexpr int kAhead = NT == 1 ? 4 : NT == 2 ? 2 : 1;  // groups whose operand is loaded together
  constexpr int kGroupBytes = F == Format::bf16 ? 512 : 256;
  const std::uint32_t a = chunk + (block.lane / 8 & 1) * (8 * width * element_bytes(F)) +
                          block.lane / 16 * 128 + block.lane % 8 * 16;
  bool waited = false;
#pragma unroll 1
  for (int at = first * 128; at < width; at += kStepTeamWarps * 128) {
    const int groups = whole ? 4 : min(128, width - at) / 32;
    float part[NT][4];
    clear<NT>(part);
#pragma unroll
    for (int group = 0; group < 4; group += kAhead) {
      uint4 b[kAhead][NT];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (group + i < groups) {
#pragma unroll
          for (int nt = 0; nt < NT; ++nt) b[i][nt] = operand.load(nt, k + at + (group + i) * 32);
        }
      }
      if (!waited) {
        wait();
        waited = true;
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (group + i < groups) {
          multiply_group<F, NT>(a + (at / 32 + group + i) * kGroupBytes, b[i], part);
        }
      }
    }
    float low = 1.0F;
    float high = 1.0F;
    if constexpr (F == Format::fp8) {
      const std::uint32_t scales = chunk + 16 * width + at / 128 * 4;
      asm volatile("ld.shared.f32 %0, [%1];" : "=f"(low) : "r"(scales));
      asm volatile("ld.shared.f32 %0, [%1];" : "=f"(high) : "r"(scales + 32));
    }
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
      acc[nt][0] += low * part[nt][0];
      acc[nt][1] += low * part[nt][1];
      acc[nt][2] += high * part[nt][2];
      acc[nt][3] += high * part[nt][3];
    }
  }
  if (!waited) wait();
}

/// Sums over the four warps of a team; the result is in its warp 0.
template <int NT>
__device__ __forceinline__ void reduce_team(const Block& block, float (&acc)[NT][4]) {
  float4* mine = block.scratch() + block.warp * NT * 32 + block.lane;
  if (block.team_warp() != 0) {
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
      mine[nt * 32] = make_float4(acc[nt][0], acc[nt][1], acc[nt][2], acc[nt][3]);
    }
  }
  named_barrier_sync(kTeamBarrier + block.team(), kStepTeamWarps * 32);
  if (block.team_warp() == 0) {
#pragma unroll
    for (int nt = 0; nt < NT; ++nt) {
#pragma unroll
      for (int w = 1; w < kStepTeamWarps; ++w) {
        const float4 other = mine[(w * NT + nt) * 32];
        acc[nt][0] += other.x;
        acc[nt][1] += other.y;
        acc[nt][2] += other.z;
        acc[nt][3] += other.w;
      }
    }
  }
  named_barrier_sync(kTeamBarrier + block.team(), kStepTeamWarps * 32);
}

/// Tiles one after the other, each by a team of four warps over all its columns: for operations
/// with several tiles a block. epilogue(tile, acc) runs in the team's warp 0.
template <Format F, int NT, class Epilogue>
__device__ __forceinline__ void multiply_tiles(Block& block, const PackedShape& shape,
                                               const Share& share, const Operand<NT>& operand,
                                               Epilogue&& epilogue) {
  const int chunks = shape.chunks();
#pragma unroll 1
  for (int i = block.team(); i < share.count; i += kStepTeams) {
    float acc[NT][4];
    clear<NT>(acc);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const unsigned stage =
          block.stage + share.group_stage(i, chunks) + chunk * share.group_size(i) + block.team();
      multiply_chunk<F, NT>(
          block, slot_address(block, stage), shape.chunk_width(chunk), shape.cols % 128 == 0,
          block.team_warp(), operand, chunk * chunk_columns(F), [&] { wait_full(block, stage); },
          acc);
      release(block, stage);
    }
    reduce_team<NT>(block, acc);
    if (block.team_warp() == 0) epilogue(share.tile(i), acc);
  }
  block.stage += share.count * chunks;
}

/// Sums over all consumer warps; epilogue(nt, sum) runs in warp nt.
template <int NT, class Epilogue>
__device__ __forceinline__ void reduce_block(const Block& block, const float (&acc)[NT][4],
                                             Epilogue&& epilogue) {
  float4* scratch = block.scratch() + block.lane;
#pragma unroll
  for (int nt = 0; nt < NT; ++nt) {
    scratch[(block.warp * NT + nt) * 32] =
        make_float4(acc[nt][0], acc[nt][1], acc[nt][2], acc[nt][3]);
  }
  consumer_sync();
  if (block.warp < NT) {
    float sum[4] = {};
#pragma unroll
    for (int w = 0; w < kStepConsumerWarps; ++w) {
      const float4 other = scratch[(w * NT + block.warp) * 32];
      sum[0] += other.x;
      sum[1] += other.y;
      sum[2] += other.z;
      sum[3] += other.w;
    }
    epilogue(block.warp, sum);
  }
  consumer_sync();
}

/// One tile after the other, its chunks dealt out to the four teams: for operations with about one
/// tile a block. epilogue(tile, nt, sum) runs in warp nt.
template <Format F, int NT, class Epilogue>
__device__ __forceinline__ void multiply_split(Block& block, const PackedShape& shape, int tile,
                                               const Operand<NT>& operand, Epilogue&& epilogue) {
  float acc[NT][4];
  clear<NT>(acc);
#pragma unroll 1
  for (int chunk = block.team(); chunk < shape.chunks(); chunk += kStepTeams) {
    const unsigned stage = block.stage + chunk;
    multiply_chunk<F, NT>(
        block, slot_address(block, stage), shape.chunk_width(chunk), shape.cols % 128 == 0,
        block.team_warp(), operand, chunk * chunk_columns(F), [&] { wait_full(block, stage); },
        acc);
    release(block, stage);
  }
  block.stage += shape.chunks();
  reduce_block<NT>(block, acc, [&](int nt, const float(&sum)[4]) { epilogue(tile, nt, sum); });
}

/// Calls store(row, token, value) for the results a lane holds, tokens of the step only.
template <class Store>
__device__ __forceinline__ void for_results(const Block& block, int tile, int nt,
                                            const float (&acc)[4], Store&& store) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = tile * kTileRows + block.lane / 4 + i / 2 * 8;
    const int token = nt * 8 + block.lane % 4 * 2 + i % 2;
    if (token < block.tokens()) store(row, token, acc[i]);
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
