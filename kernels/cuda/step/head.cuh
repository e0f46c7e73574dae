// Logits and the likeliest tokens. Every block publishes the largest of its logits. The 64th
// largest of those bounds the 64th largest of all from below, so that blocks hand on only what is
// not below it, some hundred of them, which one block a row ranks.
#pragma once

#include "kernels/cuda/step/norm.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// Orders logits descending and, among equals, ids ascending; 0 is below every real key.
__device__ __forceinline__ std::uint64_t candidate_key(float logit, int id) {
  const std::uint32_t bits = __float_as_uint(logit);
  const std::uint32_t ordered = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<std::uint64_t>(ordered) << 32 | (0xFFFFFFFFU - static_cast<unsigned>(id));
}
__device__ __forceinline__ float key_logit(std::uint64_t key) {
  const std::uint32_t ordered = key >> 32;
  return __uint_as_float((ordered & 0x80000000U) != 0 ? ordered & 0x7FFFFFFFU : ~ordered);
}
__device__ __forceinline__ int key_id(std::uint64_t key) {
  return static_cast<int>(0xFFFFFFFFU - static_cast<std::uint32_t>(key));
}

template <int NT>
__device__ __forceinline__ void compute_logits(Block& block) {
  const StepDims& dims = sizes(block.p);
  multiply_normed<Format::bf16, NT>(
      block, PackedShape{Format::bf16, dims.vocab, dims.hidden},
      [&](int row, int token, float value) {
        const int output = block.header->token[token].output;
        if (output < 0 || row >= dims.vocab) return;
        block.p.buffers.logits[static_cast<std::int64_t>(output) * dims.vocab + row] = value;
      });
}

/// The maximum and the sum of exponentials over all consumer threads' own pairs, in a fixed order;
/// valid in thread 0.
__device__ __forceinline__ float2 reduce_exponentials(const Block& block, float2 mine) {
  const float maximum = warp_max(mine.x);
  const float sum = warp_sum(mine.x == -INFINITY ? 0.0F : mine.y * expf(mine.x - maximum));
  float2* pairs = reinterpret_cast<float2*>(block.scratch());
  if (block.lane == 0) pairs[block.warp] = make_float2(maximum, maximum == -INFINITY ? 0.0F : sum);
  consumer_sync();
  float2 total = make_float2(-INFINITY, 0.0F);
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int w = 0; w < kStepConsumerWarps; ++w) total.x = fmaxf(total.x, pairs[w].x);
#pragma unroll 1
    for (int w = 0; w < kStepConsumerWarps; ++w) {
      if (pairs[w].x != -INFINITY) total.y += pairs[w].y * expf(pairs[w].x - total.x);
    }
  }
  consumer_sync();
  return total;
}

/// Calls visit(key, logit) for the logits of an output row that this block computed.
template <class Visit>
__device__ __forceinline__ void for_own_keys(const Block& block, int output, Visit&& visit) {
  const StepParams& p = block.p;
  const Share share(block, PackedShape{Format::bf16, sizes(p).vocab, sizes(p).hidden}.tiles());
  const float* logits = p.buffers.logits + static_cast<std::int64_t>(output) * sizes(p).vocab;
#pragma unroll 1
  for (int i = threadIdx.x; i < share.count * kTileRows; i += kStepConsumers) {
    const int id = share.tile(i / kTileRows) * kTileRows + i % kTileRows;
    if (id >= p.dims.real_vocab) continue;
    visit(candidate_key(logits[id], id), logits[id]);
  }
}

/// How many parts of a block publish the largest of their keys, so that there are 64 of these.
[[nodiscard]] __device__ __forceinline__ int key_parts(const Block& block) {
  int parts = 1;
  while (parts < kStepConsumerWarps && parts * block.blocks < kCandidateCount) parts *= 2;
  return parts;
}

/// Publishes the largest keys of the block's parts and its sum of exponentials, of every row.
__device__ __forceinline__ void publish_largest(const Block& block) {
  const StepParams& p = block.p;
  const int parts = key_parts(block);
  auto* of_warp =
      reinterpret_cast<std::uint64_t*>(block.scratch() + kStepConsumerWarps * sizeof(float2));
#pragma unroll 1
  for (int output = 0; output < p.batch.outputs; ++output) {
    std::uint64_t largest = 0;
    float2 mine = make_float2(-INFINITY, 0.0F);
    for_own_keys(block, output, [&](std::uint64_t key, float logit) {
      largest = max(largest, key);
      const float maximum = fmaxf(mine.x, logit);
      mine = make_float2(maximum, mine.y * expf(mine.x - maximum) + expf(logit - maximum));
    });
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      largest = max(largest, __shfl_xor_sync(~0U, largest, offset));
    }
    if (block.lane == 0) of_warp[block.warp] = largest;
    const float2 total = reduce_exponentials(block, mine);
    const std::int64_t slot = static_cast<std::int64_t>(output) * block.blocks + block.index;
    const int part = static_cast<int>(threadIdx.x);
    if (part == 0) p.buffers.exponential[slot] = total;
    if (part < parts) {
      std::uint64_t best = 0;
      for (int w = part; w < kStepConsumerWarps; w += parts) best = max(best, of_warp[w]);
      p.buffers.largest[slot * parts + part] = best;
    }
    consumer_sync();
  }
}

/// How many of keys[0, count) are larger than `key`.
__device__ __forceinline__ int rank_of(std::uint64_t key, const std::uint64_t* keys, int count) {
  int rank = 0;
#pragma unroll 8
  for (int i = 0; i < count; ++i) rank += keys[i] > key ? 1 : 0;
  return rank;
}

/// Puts the keys of this block that can be among the best 64 of all into the rows' lists: none that
/// is smaller than the 64th largest of what was published can.
__device__ __forceinline__ void hand_on_candidates(const Block& block) {
  const StepParams& p = block.p;
  const int count = key_parts(block) * block.blocks;
  const int thread = static_cast<int>(threadIdx.x);
  auto* keys = reinterpret_cast<std::uint64_t*>(block.activations());
  auto* least = reinterpret_cast<std::uint64_t*>(block.scratch());
#pragma unroll 1
  for (int output = 0; output < p.batch.outputs; ++output) {
    const std::uint64_t* from = p.buffers.largest + static_cast<std::int64_t>(output) * count;
    if (thread == 0) *least = 1;
#pragma unroll 1
    for (int i = thread; i < count; i += kStepConsumers) keys[i] = from[i];
    consumer_sync();
#pragma unroll 1
    for (int i = thread; i < count; i += kStepConsumers) {
      const std::uint64_t key = keys[i];
      if (key != 0 && rank_of(key, keys, count) == kCandidateCount - 1) *least = key;
    }
    consumer_sync();
    const std::uint64_t smallest = *least;
    std::uint64_t* list = p.buffers.keys + static_cast<std::int64_t>(output) * kMergedCandidates;
    for_own_keys(block, output, [&](std::uint64_t key, float) {
      if (key < smallest) return;
      const unsigned at = atomicAdd(&p.counters->candidates[output], 1U);
      if (at < kMergedCandidates) list[at] = key;
    });
    consumer_sync();
  }
}

/// Some of the largest keys of a row, 64 at least and at most kMergedCandidates, for a row whose
/// list would be longer than that: a block has nearly all of the best, or there are few blocks.
__device__ __forceinline__ int collect_largest(const Block& block, int output,
                                               std::uint64_t* keys) {
  const StepParams& p = block.p;
  const int thread = static_cast<int>(threadIdx.x);
  const float* logits = p.buffers.logits + static_cast<std::int64_t>(output) * sizes(p).vocab;
  auto* of_warp = reinterpret_cast<int*>(block.scratch());
  std::uint64_t least = 0;
#pragma unroll 1
  for (int bit = 63; bit >= 0; --bit) {
    const std::uint64_t trial = least | std::uint64_t{1} << bit;
    int mine = 0;
#pragma unroll 8
    for (int id = thread; id < p.dims.real_vocab; id += kStepConsumers) {
      mine += candidate_key(logits[id], id) >= trial ? 1 : 0;
    }
    mine = __reduce_add_sync(~0U, mine);
    if (block.lane == 0) of_warp[block.warp] = mine;
    consumer_sync();
    int found = 0;
    for (int w = 0; w < kStepConsumerWarps; ++w) found += of_warp[w];
    consumer_sync();
    if (found < kCandidateCount) continue;
    least = trial;
    if (found <= kMergedCandidates) break;
  }
  if (thread == 0) *of_warp = 0;
  consumer_sync();
#pragma unroll 1
  for (int id = thread; id < p.dims.real_vocab; id += kStepConsumers) {
    const std::uint64_t key = candidate_key(logits[id], id);
    if (key >= least) keys[atomicAdd(of_warp, 1)] = key;
  }
  consumer_sync();
  return *of_warp;
}

/// The best 64 of the lists of the rows this block is responsible for, in the output.
__device__ __forceinline__ void rank_candidates(const Block& block) {
  const StepParams& p = block.p;
  const int thread = static_cast<int>(threadIdx.x);
  auto* keys = reinterpret_cast<std::uint64_t*>(block.activations());
  std::uint64_t* best = keys + kMergedCandidates;
#pragma unroll 1
  for (int output = block.index; output < p.batch.outputs; output += block.blocks) {
    const std::uint64_t* list =
        p.buffers.keys + static_cast<std::int64_t>(output) * kMergedCandidates;
    int found = static_cast<int>(__ldcg(&p.counters->candidates[output]));
    if (found > kMergedCandidates) {
      found = collect_largest(block, output, keys);
    } else {
#pragma unroll 1
      for (int i = thread; i < found; i += kStepConsumers) keys[i] = list[i];
    }
    if (thread < kCandidateCount) best[thread] = 0;
    consumer_sync();
#pragma unroll 1
    for (int i = thread; i < found; i += kStepConsumers) {
      const int rank = rank_of(keys[i], keys, found);
      if (rank < kCandidateCount) best[rank] = keys[i];
    }
    const float2* pairs = p.buffers.exponential + static_cast<std::int64_t>(output) * block.blocks;
    const float2 total = reduce_exponentials(
        block, thread < block.blocks ? pairs[thread] : make_float2(-INFINITY, 0.0F));
    CandidateRow& row = p.candidates[output];
    if (thread == 0) {
      row.log_sum_exp = total.x + logf(total.y);
      row.count = min(kCandidateCount, p.dims.real_vocab);
    }
    if (thread < kCandidateCount) {
      row.id[thread] = key_id(best[thread]);
      row.logit[thread] = key_logit(best[thread]);
    }
    consumer_sync();
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
