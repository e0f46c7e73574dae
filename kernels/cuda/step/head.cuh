// Logits and the likeliest tokens: every block sorts the logits it computed itself and hands on its
// best 64; one block a row merges them.
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

/// Sorts keys[0, size) in descending order; size is a power of two. All consumer threads.
__device__ __forceinline__ void sort_descending(std::uint64_t* keys, int size) {
#pragma unroll 1
  for (int width = 2; width <= size; width *= 2) {
#pragma unroll 1
    for (int distance = width / 2; distance > 0; distance /= 2) {
#pragma unroll 1
      for (int i = threadIdx.x; i < size / 2; i += kStepConsumers) {
        const int low = i / distance * distance * 2 + i % distance;
        const int high = low + distance;
        const bool descending = (low & width) == 0;
        const std::uint64_t a = keys[low];
        const std::uint64_t b = keys[high];
        if ((a < b) == descending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      consumer_sync();
    }
  }
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

/// The best 64 of the logits this block computed, for every output row.
__device__ __forceinline__ void select_own_candidates(const Block& block) {
  const StepParams& p = block.p;
  const Share share(block, PackedShape{Format::bf16, sizes(p).vocab, sizes(p).hidden}.tiles());
  const int rows = share.count * kTileRows;
  int size = kCandidateCount;
  while (size < rows) size *= 2;
  auto* keys = reinterpret_cast<std::uint64_t*>(block.activations());
#pragma unroll 1
  for (int output = 0; output < p.batch.outputs; ++output) {
    const float* logits = p.buffers.logits + static_cast<std::int64_t>(output) * sizes(p).vocab;
    float2 mine = make_float2(-INFINITY, 0.0F);
#pragma unroll 1
    for (int i = threadIdx.x; i < size; i += kStepConsumers) {
      const int id =
          i < rows ? share.tile(i / kTileRows) * kTileRows + i % kTileRows : sizes(p).vocab;
      std::uint64_t key = 0;
      if (id < p.dims.real_vocab) {
        const float logit = logits[id];
        key = candidate_key(logit, id);
        const float maximum = fmaxf(mine.x, logit);
        mine = make_float2(maximum, mine.y * expf(mine.x - maximum) + expf(logit - maximum));
      }
      keys[i] = key;
    }
    consumer_sync();
    sort_descending(keys, size);
    const std::int64_t slot = static_cast<std::int64_t>(output) * block.blocks + block.index;
    if (threadIdx.x < kCandidateCount) {
      p.buffers.keys[slot * kCandidateCount + threadIdx.x] = keys[threadIdx.x];
    }
    const float2 total = reduce_exponentials(block, mine);
    if (threadIdx.x == 0) p.buffers.exponential[slot] = total;
  }
}

/// Sorts `lists` bitonic sequences of 64 in descending order. All consumer threads.
__device__ __forceinline__ void sort_bitonic_lists(std::uint64_t* keys, int lists) {
#pragma unroll 1
  for (int distance = kCandidateCount / 2; distance > 0; distance /= 2) {
#pragma unroll 1
    for (int i = threadIdx.x; i < lists * kCandidateCount / 2; i += kStepConsumers) {
      const int low = i / distance * distance * 2 + i % distance;
      const std::uint64_t a = keys[low];
      const std::uint64_t b = keys[low + distance];
      keys[low] = max(a, b);
      keys[low + distance] = min(a, b);
    }
    consumer_sync();
  }
}

/// Halves `lists` (even or odd, more than one) descending lists of 64, keeping the best 64 of each
/// pair: the larger of a[i] and b[63 - i] form a bitonic sequence (Batcher 1968).
/// `from` may be `keys` itself.
__device__ __forceinline__ int merge_lists(std::uint64_t* keys, const std::uint64_t* from,
                                           int lists) {
  const int half = (lists + 1) / 2;  // list i merges with list half + i
#pragma unroll 1
  for (int i = threadIdx.x; i < half * kCandidateCount; i += kStepConsumers) {
    const int other = half + i / kCandidateCount;
    const std::uint64_t rival =
        other < lists ? from[(other + 1) * kCandidateCount - 1 - i % kCandidateCount] : 0;
    keys[i] = max(from[i], rival);
  }
  consumer_sync();
  sort_bitonic_lists(keys, half);
  return half;
}

/// How many of keys[0, count) are larger than `key`.
__device__ __forceinline__ int rank_of(std::uint64_t key, const std::uint64_t* keys, int count) {
  int rank = 0;
#pragma unroll 8
  for (int i = 0; i < count; ++i) rank += keys[i] > key ? 1 : 0;
  return rank;
}

/// The best 64 of all blocks' lists in keys[0, 64), by way of those keys that are at least as large
/// as the 64th largest of the lists' first ones: no other can be among them. false where these are
/// too many, as they are when one block has nearly all of the best. `keys` has room for
/// kMergedCandidates + kCandidateCount. All consumer threads.
__device__ __forceinline__ bool merge_by_rank(const Block& block, std::uint64_t* keys,
                                              const std::uint64_t* from) {
  const int thread = static_cast<int>(threadIdx.x);
  auto* least = reinterpret_cast<std::uint64_t*>(block.scratch());
  auto* count = reinterpret_cast<int*>(least + 1);
  if (thread == 0) {
    *least = 1;
    *count = 0;
  }
#pragma unroll 1
  for (int i = thread; i < block.blocks; i += kStepConsumers) keys[i] = from[i * kCandidateCount];
  consumer_sync();
#pragma unroll 1
  for (int i = thread; i < block.blocks; i += kStepConsumers) {
    const std::uint64_t key = keys[i];
    if (key != 0 && rank_of(key, keys, block.blocks) == kCandidateCount - 1) *least = key;
  }
  consumer_sync();
  const std::uint64_t smallest = *least;
#pragma unroll 16
  for (int i = thread; i < block.blocks * kCandidateCount; i += kStepConsumers) {
    const std::uint64_t key = from[i];
    if (key < smallest) continue;
    const int at = atomicAdd(count, 1);
    if (at < kMergedCandidates) keys[at] = key;
  }
  consumer_sync();
  const int found = *count;
  if (found > kMergedCandidates) return false;
  std::uint64_t* best = keys + kMergedCandidates;
  if (thread < kCandidateCount) best[thread] = 0;
  consumer_sync();
#pragma unroll 1
  for (int i = thread; i < found; i += kStepConsumers) {
    const int rank = rank_of(keys[i], keys, found);
    if (rank < kCandidateCount) best[rank] = keys[i];
  }
  consumer_sync();
  if (thread < kCandidateCount) keys[thread] = best[thread];
  consumer_sync();
  return true;
}

/// Merges the blocks' candidates of the rows this block is responsible for into the output. The
/// keys reach into the ring, which is empty.
__device__ __forceinline__ void merge_candidates(const Block& block) {
  const StepParams& p = block.p;
  auto* keys = reinterpret_cast<std::uint64_t*>(block.activations());
#pragma unroll 1
  for (int output = block.index; output < p.batch.outputs; output += block.blocks) {
    const std::uint64_t* from =
        p.buffers.keys + static_cast<std::int64_t>(output) * block.blocks * kCandidateCount;
    if (!merge_by_rank(block, keys, from)) {
#pragma unroll 1
      for (int lists = merge_lists(keys, from, block.blocks); lists > 1;) {
        lists = merge_lists(keys, keys, lists);
      }
    }

    const float2* pairs = p.buffers.exponential + static_cast<std::int64_t>(output) * block.blocks;
    const int thread = static_cast<int>(threadIdx.x);
    const float2 total = reduce_exponentials(
        block, thread < block.blocks ? pairs[thread] : make_float2(-INFINITY, 0.0F));
    CandidateRow& row = p.candidates[output];
    if (thread == 0) {
      row.log_sum_exp = total.x + logf(total.y);
      row.count = min(kCandidateCount, p.dims.real_vocab);
    }
    if (thread < kCandidateCount) {
      row.id[thread] = key_id(keys[thread]);
      row.logit[thread] = key_logit(keys[thread]);
    }
    consumer_sync();
  }
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
