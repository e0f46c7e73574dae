// What a thread of the step kernel knows about its place, and the two ways blocks and warps wait:
// the grid barrier between operations and the ring of weight stages within a block.
#pragma once

#include "kernels/cuda/step.h"
#include "kernels/cuda/warp.cuh"

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

/// CARETD_STEP_TOKENS makes an instantiation for steps of exactly that many tokens.
[[nodiscard]] __device__ __forceinline__ int tokens_of(const StepParams& p) {
#ifdef CARETD_STEP_TOKENS
  static_cast<void>(p);
  return CARETD_STEP_TOKENS;
#else
  return p.batch.tokens;
#endif
}

/// The most tokens a step of this instantiation has; CARETD_STEP_TOKEN_LIMIT makes it a smaller
/// one.
#if defined(CARETD_STEP_TOKENS)
inline constexpr int kTokenLimit = CARETD_STEP_TOKENS;
#elif defined(CARETD_STEP_TOKEN_LIMIT)
inline constexpr int kTokenLimit = CARETD_STEP_TOKEN_LIMIT;
#else
inline constexpr int kTokenLimit = kStepMaxTokens;
#endif

inline constexpr int kMaxSlots = 24;
inline constexpr int kConsumerBarrier = 1;  ///< hardware barrier of the consumer warps
inline constexpr int kRouterBarrier = 2;    ///< consumers arrive, the router warp waits
/// From here on kHandovers of them: consumers arrive when a tile's sums are written.
inline constexpr int kSumsBarrier = 3;
inline constexpr int kHandovers = 2;    ///< tiles between the consumers and the epilogue warp
inline constexpr int kRouterWarps = 2;  ///< of steps of few tokens; the others have one

/// Start of the dynamic shared memory. The description of the batch is copied here once: L1 forgets
/// at every grid barrier, and chains of small loads from L2 are what a small step consists of.
struct SharedHeader {
  std::uint64_t full[kMaxSlots];   ///< a stage has arrived
  std::uint64_t empty[kMaxSlots];  ///< all consumer warps have finished with it
  std::uint64_t routing_ready;     ///< the routing table of the current layer stands
  std::uint64_t logits_ready;      ///< the router's logits of the current layer (one token)
  std::uint64_t values_due;        ///< the consumers wait for the heads' values (one token)
  std::uint64_t scale_ready;       ///< scale is that of the feed-forward norm (few tokens)
  /// A part of the activations is staged: the shared experts' or the dense, the experts' (one
  /// token)
  std::uint64_t part_ready[1 + kMaxTopK];
  StepToken token[kStepMaxTokens];
  StepRun run[kStepMaxTokens];
  AttentionItem item;                                 ///< the block's first
  float squares[kStepMaxTokens][kStepConsumerWarps];  ///< parts of a token's sum of squares
  float scale[kStepMaxTokens];                        ///< 1 / rms of the staged activations
  /// x times the block's router row, in parts (few tokens)
  float router_dots[kFewTokens][kStepConsumerWarps];
  float logits[kMaxExperts];            ///< [T, experts] of the router, times rms(x) (few tokens)
  std::uint64_t sums_read[kHandovers];  ///< the epilogue warp has them
  float sums[kHandovers][kStepConsumerWarps][kTileSumPitch];
};
static_assert(sizeof(SharedHeader) <= kStepHeaderBytes);

/// A place in the ring: the slot of a stage, and the parity of the lap.
struct RingPlace {
  unsigned slot = 0;
  unsigned parity = 0;

  __device__ __forceinline__ void advance(unsigned slots) {
    if (++slot == slots) {
      slot = 0;
      parity ^= 1U;
    }
  }
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
  RingPlace next = {};      ///< the next stage to issue or to consume
  unsigned barriers = 0;    ///< grid barriers passed
  unsigned moe_layers = 0;  ///< MoE layers whose routing has been awaited
  unsigned operations = 0;  ///< ended ones
  unsigned tiles = 0;       ///< finished ones, which alternate between the two scratch areas
  unsigned handed = 0;      ///< tiles handed to the epilogue warp

  [[nodiscard]] __device__ int tokens() const { return tokens_of(p); }
  [[nodiscard]] __device__ std::byte* activations() const { return memory + p.shared.activations; }
  [[nodiscard]] __device__ std::byte* scratch() const { return memory + p.shared.scratch; }
  /// The first of the early slots, for stages that are sent and consumed apart from the ring.
  [[nodiscard]] __device__ RingPlace early_place(int moe_layer) const {
    return {static_cast<unsigned>(p.shared.slots), static_cast<unsigned>(moe_layer) & 1U};
  }
  [[nodiscard]] __device__ std::uint32_t slot_address(unsigned slot) const {
    return shared_address(memory + p.shared.ring) + slot * p.shared.slot_bytes;
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
};

__device__ __forceinline__ void consumer_sync() {
  named_barrier_sync(kConsumerBarrier, kStepConsumers);
}

/// Block 0 notes when operations begin and end, seen from its first thread.
__device__ __forceinline__ void note_time(const Block& block) {
  if (block.p.profile == nullptr || block.index != 0 || threadIdx.x != 0) return;
  if (block.operations < kProfileMarks) block.p.profile[block.operations] = clock64();
}
__device__ __forceinline__ void end_operation(Block& block) {
  ++block.operations;
  note_time(block);
}

/// All consumer warps of all blocks; what they wrote before is visible to all after.
__device__ __forceinline__ void grid_barrier(Block& block) {
  consumer_sync();
  ++block.barriers;
  if (threadIdx.x == 0) {
    add_release(&block.p.counters->barrier, 1);
    wait_for(&block.p.counters->barrier, block.barriers * block.blocks);
    end_operation(block);
  }
  consumer_sync();
}

/// Fills the header's copy of the batch; all threads of the block.
__device__ __forceinline__ void copy_batch(const StepParams& p, SharedHeader& header) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < p.batch.tokens) header.token[thread] = p.batch.token[thread];
  if (thread < p.batch.runs) header.run[thread] = p.batch.run[thread];
  const int block = static_cast<int>(blockIdx.x);
  if (thread == 0 && block < p.batch.items) header.item = p.batch.item[block];
}

/// Waits for the stage at `place` and returns its address.
__device__ __forceinline__ std::uint32_t await_stage(const Block& block, const RingPlace& place) {
  mbarrier_wait(shared_address(&block.header->full[place.slot]), place.parity);
  return block.slot_address(place.slot);
}

/// Gives the slot of the next stage back to the producer once `loaded`, which depends on the matrix
/// loads from the stage, is there; called by every consumer warp. The slot may be written again at
/// once, and nothing but a use of what they bring makes the assembler wait for these loads: it puts
/// the products behind the release. Steps of one token do without: their ring is deep, few loads
/// are under way, and they gave the same bits in every run.
__device__ __forceinline__ void release(Block& block, [[maybe_unused]] unsigned loaded) {
#ifdef CARETD_STEP_TOKENS
  constexpr unsigned offset = 0;
#else
  // 0, which the assembler cannot know: sizes are not negative.
  const unsigned offset = loaded & static_cast<unsigned>(block.p.shared.total >> 31);
#endif
  __syncwarp();
  if (block.lane == 0) {
    mbarrier_arrive(shared_address(&block.header->empty[block.next.slot]) + offset);
  }
  block.next.advance(block.p.shared.slots);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
