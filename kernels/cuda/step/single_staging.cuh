// The activations' way from gate and up to down in a step of one token with FP8 weights. The router
// warps, which have nothing else to do by then, await, convert and stage them part by part while
// the consumers multiply: down begins with the first parts while the blocks finish the last ones.
// They lie behind the row that gate and up multiply with. In BF16 the consumers wait for the
// weights anyway, and to have them stage the activations is a little faster.
#pragma once

#include <algorithm>

#include "kernels/cuda/step/single_input.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

/// The parts of the activations, and the batches of groups of 128 columns in which they are staged.
struct Activations {
  static constexpr int kShared = kSingle.shared_width / 128;
  static constexpr int kExpert = kSingle.expert_width / 128;
  static_assert(kSingle.shared_width % 128 == 0 && kSingle.expert_width % 128 == 0);
  static constexpr int kDense = (kSingle.dense_width + 127) / 128;
  static constexpr int kBatch = kExpert;
  static constexpr int kSharedBatches = kShared / kBatch;
  static_assert(kShared % kBatch == 0);
  static constexpr int kBatches =
      std::max(kSharedBatches + kSingle.topk, (kDense + kBatch - 1) / kBatch);

  bool moe;

  [[nodiscard]] __device__ __forceinline__ int columns() const {
    return moe ? kSingle.shared_width + kSingle.topk * kSingle.expert_width : kSingle.dense_width;
  }
  /// The part that a batch completes, or -1.
  [[nodiscard]] __device__ __forceinline__ int completed(int batch) const {
    if (moe) return batch - (kSharedBatches - 1);
    return batch == kBatches - 1 ? 0 : -1;
  }
  template <Format F>
  __device__ __forceinline__ void stage(const Block& block, int group,
                                        const typename SingleRow<F>::Staged& staged) const {
    int first = 0;  // group of the part
    int pass = 0;   // that the part begins with
    if (moe && group >= kShared) {
      const int expert = (group - kShared) / kExpert;
      first = kShared + expert * kExpert;
      pass = split_passes(kSingle.shared_width) + expert * split_passes(kSingle.expert_width);
    }
    SingleRow<F>::stage(block, kSingle.hidden, group, pass, group - first, staged);
  }
};

/// Whether the router warps stage them.
template <Format F>
inline constexpr bool kStagesApart = F == Format::fp8&& kTokenLimit == 1;

/// Stages the layer's activations; each router warp its groups of every batch.
template <Format F>
__device__ __forceinline__ void stage_activations(const Block& block, int router_warp, int layer,
                                                  unsigned mark) {
  if (Share(block, kSingle.hidden / kTileRows).count == 0) return;
  const Activations activations{sizes(block.p).is_moe(layer)};
  constexpr int kGroups = (Activations::kBatch + kRouterWarps - 1) / kRouterWarps;
  // A warp that has a group less stages its last one twice, and behind the last column of all comes
  // that column once more.
  const int last = (Activations::kBatch - 1 - router_warp) / kRouterWarps;
  const auto group_of = [&](int batch, int i) {
    return batch * Activations::kBatch + router_warp + min(i, last) * kRouterWarps;
  };
  const auto words_of = [&](int batch) {
    return [&, batch](int i) {
      const int column = group_of(batch, i) * 128 + block.lane * 4;
      return block.p.words.ffn + min(column, activations.columns() - 4) / 2;
    };
  };
  // By then the consumers have done with what was in their place.
  mbarrier_wait(shared_address(&block.header->scale_ready), layer & 1U);
  AskedWords<kGroups> words;
  words.ask(words_of(0));
#pragma unroll 1
  for (int batch = 0; batch < Activations::kBatches; ++batch) {
    uint2 values[kGroups];
    words.await(mark, values, words_of(batch));
    if (batch + 1 < Activations::kBatches) words.ask(words_of(batch + 1));
    // Behind a branch for every group they would be converted one after the other.
    typename SingleRow<F>::Staged staged[kGroups];
#pragma unroll
    for (int i = 0; i < kGroups; ++i) staged[i] = SingleRow<F>::stageable(values[i]);
#pragma unroll
    for (int i = 0; i < kGroups; ++i) activations.stage<F>(block, group_of(batch, i), staged[i]);
    SingleRow<F>::stored();
    __syncwarp();
    const int part = activations.completed(batch);
    if (part >= 0 && block.lane == 0) {
      mbarrier_arrive(shared_address(&block.header->part_ready[part]));
    }
  }
}

/// Waits until a part of the layer's activations and those before it are staged; `moe_layers`
/// counts this layer.
__device__ __forceinline__ void await_part(const Block& block, int layer, int part) {
  const unsigned phase = part == 0 ? static_cast<unsigned>(layer) : block.moe_layers - 1;
  mbarrier_wait(shared_address(&block.header->part_ready[part]), phase & 1U);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
