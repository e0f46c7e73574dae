// What a thread of the step kernel knows about its place, and the two ways blocks and warps wait:
// the grid barrier between operations and the ring of weight stages within a block.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/step.h"

#ifndef CARETD_STEP_NAMESPACE
#define CARETD_STEP_NAMESPACE step
#endif

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The sizes the operations are written in. An instantiation for one model defines
/// CARETD_STEP_SIZES and has them as constants: a block's warps are few and each runs long chains
/// of address arithmetic otherwise. Layers, real vocabulary and the floating-point settings stay
/// parameters.
#ifdef CARETD_STEP_SIZES
__device__ __forceinline__ constexpr StepDims sizes(const StepParams&) {
  return CARETD_STEP_SIZES();
}
#else
__device__ __forceinline__ const StepDims& sizes(const StepParams& p) {
  return p.dims;
}
#endif

inline constexpr int kMaxSlots = 24;
inline constexpr int kConsumerBarrier = 1;  ///< hardware barrier of the 16 consumer warps
inline constexpr int kRouterBarrier = 2;    ///< consumers arrive, the router warp waits
inline constexpr int kTeamBarrier = 4;      ///< + team

inline constexpr int kCachedPages = 32;

/// Start of the dynamic shared memory. The description of the batch is copied here once: L1 forgets
/// at every grid barrier, and chains of small loads from L2 are what a small step consists of.
struct SharedHeader {
  std::uint64_t full[kMaxSlots];   ///< a stage has arrived
  std::uint64_t empty[kMaxSlots];  ///< four warps have finished with it
  std::uint64_t routing_ready;     ///< the routing table of the current layer stands
  unsigned issued[kMaxSlots];      ///< the stage whose load into the slot was started last
  StepToken token[kStepMaxTokens];
  StepRun run[kStepMaxTokens];
  AttentionItem item;            ///< the block's first
  int item_pages[kCachedPages];  ///< first pages of that item
};

/// A thread's view of the step. Consumer warps, the producer warp and the router warp each count
/// ring stages and grid barriers for themselves; the counts agree because all walk the same layers.
struct Block {
  const StepParams& p;
  std::byte* memory;
  SharedHeader* header;
  int index;  ///< of the block
  int blocks;
  int warp;
  int lane;
  unsigned stage = 0;       ///< ring stages issued or consumed by the operations before this one
  unsigned barriers = 0;    ///< grid barriers passed
  unsigned moe_layers = 0;  ///< MoE layers whose routing has been awaited

  [[nodiscard]] __device__ int team() const { return warp / kStepTeamWarps; }
  [[nodiscard]] __device__ int team_warp() const { return warp % kStepTeamWarps; }
  [[nodiscard]] __device__ int tokens() const { return p.batch.tokens; }
  [[nodiscard]] __device__ std::byte* activations() const { return memory + p.shared.activations; }
  [[nodiscard]] __device__ float4* scratch() const {
    return reinterpret_cast<float4*>(memory + p.shared.scratch);
  }
};

/// The tiles of one operation that belong to a block: first, first + blocks, ...
/// `shift` lets an operation start where the previous one left off, which evens out the load.
struct Share {
  int first;
  int stride;
  int count;

  __device__ Share(const Block& block, int tiles, int shift = 0)
      : first(block.index - static_cast<int>(block.p.divide.blocks.remainder(shift))),
        stride(block.blocks),
        count(0) {
    if (first < 0) first += stride;
    if (first < tiles) count = block.p.divide.blocks.quotient(tiles - first + stride - 1);
  }
  [[nodiscard]] __device__ int tile(int i) const { return first + i * stride; }
  /// Tiles are streamed in groups of one for every team, chunk by chunk: the first stage of a
  /// tile's group, and the number of tiles in it.
  [[nodiscard]] __device__ int group_stage(int i, int chunks) const {
    return i / kStepTeams * kStepTeams * chunks;
  }
  [[nodiscard]] __device__ int group_size(int i) const {
    return min(kStepTeams, count - i / kStepTeams * kStepTeams);
  }
};

__device__ __forceinline__ void consumer_sync() {
  named_barrier_sync(kConsumerBarrier, kStepConsumers);
}

/// All consumer warps of all blocks; what they wrote before is visible to all after.
__device__ __forceinline__ void grid_barrier(Block& block) {
  consumer_sync();
  ++block.barriers;
  if (threadIdx.x == 0) {
    add_release(&block.p.counters->barrier, 1);
    wait_for(&block.p.counters->barrier, block.barriers * block.blocks);
    if (block.p.profile != nullptr && block.index == 0 && block.barriers < kProfileMarks) {
      block.p.profile[block.barriers] = clock64();
    }
  }
  consumer_sync();
}

/// Fills the header's copy of the batch; all threads of the block.
__device__ __forceinline__ void copy_batch(const StepParams& p, SharedHeader& header) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < p.batch.tokens) {
    header.token[thread] = p.batch.token[thread];
    if (thread < p.batch.runs) header.run[thread] = p.batch.run[thread];
  }
  const int block = static_cast<int>(blockIdx.x);
  if (block >= p.batch.items || thread >= kCachedPages) return;
  const AttentionItem item = p.batch.item[block];
  if (thread == 0) header.item = item;
  const int page = item.begin / kPageRows + thread;
  if (page * kPageRows < item.end) {
    header.item_pages[thread] = p.batch.pages[p.batch.run[item.run].first_page + page];
  }
}

[[nodiscard]] __device__ __forceinline__ std::uint32_t slot_address(const Block& block,
                                                                    unsigned stage) {
  return shared_address(block.memory + block.p.shared.ring) +
         block.p.divide.slots.remainder(stage) * block.p.shared.slot_bytes;
}

/// A barrier's parity tells one phase from the next, not from the one after it, and a team may wait
/// for a stage that is more than a lap ahead: hence the number of the stage.
__device__ __forceinline__ void wait_full(const Block& block, unsigned stage) {
  const unsigned lap = block.p.divide.slots.quotient(stage);
  const unsigned slot = stage - lap * block.p.shared.slots;
  const volatile unsigned* issued = &block.header->issued[slot];
  while (*issued != stage) __nanosleep(32);
  mbarrier_wait(shared_address(&block.header->full[slot]), lap & 1U);
}

/// Gives the slot back to the producer; called by every warp of the team that owned the stage.
__device__ __forceinline__ void release(const Block& block, unsigned stage) {
  __syncwarp();
  if (block.lane == 0) {
    mbarrier_arrive(shared_address(&block.header->empty[block.p.divide.slots.remainder(stage)]));
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
