// What the blocks that attend hand on in a step of one token, and how its pieces are merged. Every
// block that expands a head's values merges the head for itself; where there are too many pieces, a
// quarter of the columns is merged by one block and handed on.
//
// The statistics of a piece are there before its output: a reader polls these few words alone, and
// asks for the rest when it is about to come.
#pragma once

#include "kernels/cuda/step/attention.cuh"
#include "kernels/cuda/step/single_input.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

static_assert(kSingle.heads == kAttentionRows);  // an item's rows are one token's heads

/// Columns of a group in pairs of neighbouring ones: pair t of group g is columns
/// 64 (g / 4) + 8 t + 2 (g % 4) and the next, which is how accumulate_tile() leaves them.
inline constexpr int kGroupPairs = kSingle.kv_rank / kPartialGroups / 2;
static_assert(kGroupPairs == kMaxColumnTiles);
inline constexpr int kGroupWords = partial_words(kSingle.kv_rank) / kPartialGroups;
static_assert(kGroupWords * 3 >= kGroupPairs);

[[nodiscard]] __device__ __forceinline__ int merged_column(int group, int pair) {
  return group / 4 * kGroupPairs * 8 + pair * 8 + group % 4 * 2;
}
/// The first of a group's words of an item's row, the others are kPartialGroups further on.
[[nodiscard]] __device__ __forceinline__ StepWideWord* partial_word(const StepParams& p, int item,
                                                                    int row, int group) {
  return p.words.partial +
         (static_cast<std::int64_t>(item) * kAttentionRows + row) * kGroupWords * kPartialGroups +
         group;
}

__device__ __forceinline__ void publish_stats(const Block& block, int item,
                                              const float2 (&running)[kRowsPerWarp],
                                              unsigned mark) {
  if (block.lane != 0) return;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const int row = block.warp + r * kStepConsumerWarps;
    publish_wide(block.p.words.stats + item * kAttentionRows + row, __float_as_uint(running[r].x),
                 __float_as_uint(running[r].y), 0, mark);
  }
}

__device__ __forceinline__ void publish_partial(const Block& block, int item,
                                                const float (&out)[kMaxColumnTiles][4],
                                                unsigned mark) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint32_t pair[kGroupWords * 3] = {};
#pragma unroll
    for (int t = 0; t < kGroupPairs; ++t) {
      pair[t] = pack_bf16(out[t][half * 2], out[t][half * 2 + 1]);
    }
    StepWideWord* to =
        partial_word(block.p, item, block.lane / 4 + half * 8, block.warp * 4 + block.lane % 4);
#pragma unroll
    for (int k = 0; k < kGroupWords; ++k) {
      publish_wide(to + k * kPartialGroups, pair[k * 3], pair[k * 3 + 1], pair[k * 3 + 2], mark);
    }
  }
}

/// Groups of the columns of one head of a token that are merged together.
struct MergedPart {
  int head;
  int first_group;
  int groups;      ///< a power of two
  int first_item;  ///< of the token
  int splits;

  __device__ MergedPart(const Block& block, int token, int of_head, int first, int count)
      : head(of_head), first_group(first), groups(count) {
    const StepRun& run = block.header->run[kTokenLimit == 1 ? 0 : block.header->token[token].run];
    splits = run.splits;
    first_item = run.first_item + (kTokenLimit == 1 ? 0 : (token - run.first_token) * splits);
  }
};

/// The words of some splits of a part that one thread merges: `group` of every split
/// first, first + step, ...
struct SplitWords {
  static constexpr int kSplits = 6;
  const StepWideWord* from;  ///< of the first split
  std::int64_t step;         ///< words to the next one
  int count;                 ///< splits there are, if less than kSplits
  uint4 word[kSplits][kGroupWords];

  [[nodiscard]] __device__ __forceinline__ const StepWideWord* at(int i, int k) const {
    return from + i * step + k * kPartialGroups;
  }
  __device__ __forceinline__ void request(unsigned mark) {
#pragma unroll
    for (int i = 0; i < kSplits; ++i) {
#pragma unroll
      for (int k = 0; k < kGroupWords; ++k) {
        word[i][k] = make_uint4(0, 0, 0, mark);
        if (i < count) word[i][k] = load_wide(at(i, k));
      }
    }
  }
  /// Asks again until all of them carry the mark; all lanes of a warp.
  __device__ __forceinline__ void settle(unsigned mark) {
    for (bool missing = true; __any_sync(~0U, missing);) {
      missing = false;
#pragma unroll
      for (int i = 0; i < kSplits; ++i) {
#pragma unroll
        for (int k = 0; k < kGroupWords; ++k) {
          if (word[i][k].w == mark) continue;
          missing = true;
          word[i][k] = load_wide(at(i, k));
        }
      }
    }
  }
};

/// The statistics of a head's splits, and what each of them counts with.
struct SplitWeights {
  const float2* stats;  ///< in shared memory, by split: row maximum (log2 units), row sum
  float maximum;        ///< of all splits
  float scale;          ///< 1 / the sum of all splits, relative to that maximum

  /// All lanes of a warp, behind a barrier that the statistics were written before.
  __device__ __forceinline__ SplitWeights(const Block& block, const float2* of_splits, int splits)
      : stats(of_splits) {
    float largest = -INFINITY;
#pragma unroll 1
    for (int i = block.lane; i < splits; i += 32) largest = fmaxf(largest, stats[i].x);
    maximum = warp_max(largest);
    float total = 0.0F;
#pragma unroll 1
    for (int i = block.lane; i < splits; i += 32) {
      total += exp2f(stats[i].x - maximum) * stats[i].y;
    }
    scale = 1.0F / warp_sum(total);
  }
  [[nodiscard]] __device__ __forceinline__ float of(int split) const {
    return exp2f(stats[split].x - maximum) * scale;
  }
};

/// Waits for the statistics of a head's splits and makes them known to all consumer threads. They
/// are waited for all through attention: a thread asks for one split's, because all warps asking
/// for all of them would saturate the L2 while the KV rows are read.
__device__ __forceinline__ void await_stats(const Block& block, const MergedPart& merged,
                                            unsigned mark, float2* stats) {
  static_assert(kMaxSplits <= kStepConsumers);
  const int split = static_cast<int>(threadIdx.x);
  if (split < merged.splits) {
    const StepWideWord* at =
        block.p.words.stats + (merged.first_item + split) * kAttentionRows + merged.head;
    uint4 word;
    do {
      word = load_wide(at);
    } while (word.w != mark);
    stats[split] = make_float2(__uint_as_float(word.x), __uint_as_float(word.y));
  }
  consumer_sync();
}

/// Merges a part, every split counting with its own sum of exponentials; store(column, pair) gets
/// two columns as BF16. All consumer threads, which may read afterwards what was stored in shared
/// memory. begins() is called once the splits' statistics are there.
template <class Begins, class Store>
__device__ __forceinline__ void merge_splits(const Block& block, const MergedPart& merged,
                                             unsigned mark, Begins&& begins, Store&& store) {
  const StepParams& p = block.p;
  const int thread = static_cast<int>(threadIdx.x);
  const int group = thread % merged.groups;
  const int parts = kStepConsumers / merged.groups;
  const int part = thread / merged.groups;
  // Behind the row that may be stored: [part][pair][group] sums, and at the end the statistics.
  auto* sums = reinterpret_cast<float2*>(block.activations() + p.shared.activation_pitch);
  float2* stats =
      reinterpret_cast<float2*>(block.activations() + p.shared.activation_bytes) - kMaxSplits;

  SplitWords words;
  words.step = static_cast<std::int64_t>(parts) * kAttentionRows * kGroupWords * kPartialGroups;
  const auto request = [&](int begin) {
    const int first = begin + part;
    words.from =
        partial_word(p, merged.first_item + first, merged.head, merged.first_group + group);
    words.count = (merged.splits - first + parts - 1) / parts;
    words.request(mark);
  };
  await_stats(block, merged, mark, stats);
  request(0);
  begins();
  const SplitWeights weights(block, stats, merged.splits);
  float2 sum[kGroupPairs] = {};
#pragma unroll 1
  for (int begin = 0;;) {
    words.settle(mark);
#pragma unroll
    for (int i = 0; i < SplitWords::kSplits; ++i) {
      // Words of splits that do not exist are 0.
      const float factor = weights.of(min(begin + part + i * parts, merged.splits - 1));
#pragma unroll
      for (int t = 0; t < kGroupPairs; ++t) {
        const uint4& word = words.word[i][t / 3];
        const float2 pair = unpack_bf16(t % 3 == 0 ? word.x : t % 3 == 1 ? word.y : word.z);
        sum[t] = make_float2(sum[t].x + factor * pair.x, sum[t].y + factor * pair.y);
      }
    }
    begin += SplitWords::kSplits * parts;
    if (begin >= merged.splits) break;
    request(begin);
  }
#pragma unroll
  for (int t = 0; t < kGroupPairs; ++t) {
    sums[(part * kGroupPairs + t) * merged.groups + group] = sum[t];
  }
  consumer_sync();
  const int results = kGroupPairs * merged.groups;
  if (thread < results) {
    float2 total = make_float2(0.0F, 0.0F);
#pragma unroll 8
    for (int i = 0; i < parts; ++i) {
      const float2 v = sums[i * results + thread];
      total = make_float2(total.x + v.x, total.y + v.y);
    }
    store(merged_column(merged.first_group + group, part), pack_bf16(total.x, total.y));
  }
  consumer_sync();
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
