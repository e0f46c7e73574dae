// Launch planning: pure functions of shapes and device limits that need no GPU and are unit-tested
// without one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/step.h"
#include "support/result.h"

namespace caretd::kernels::cuda {

/// What planning needs to know of a device.
struct DeviceLimits {
  int multiprocessors = 0;
  int shared_bytes = 0;            ///< of dynamic shared memory a block may ask for
  int attention_tile = kPageRows;  ///< see read_attention_tile()
};

/// One sentence that names the first size the CUDA kernels cannot work with, if there is one.
[[nodiscard]] Result<void> check_dims(const StepDims& dims);

/// Divides a block's shared memory for a step of `tokens` tokens; the ring takes what is left. Of
/// one token with FP8 weights of Lite, some of its slots are for the shared experts' down.
/// ErrorKind::unsupported when an attention tile does not fit into it.
[[nodiscard]] Result<StepShared> plan_shared(const StepDims& dims, Format format, int tokens,
                                             const DeviceLimits& limits);

/// The divisors of a step on `blocks` blocks; `slots` is filled in for each step.
[[nodiscard]] StepDivisors step_divisors(const StepDims& dims, Format format, int blocks);

/// The most tokens a step may have on this device: 16 or 8. ErrorKind::unsupported if none fit.
[[nodiscard]] Result<int> max_step_tokens(const StepDims& dims, const DeviceLimits& limits);

/// A run as the attention sees it: `tokens` new tokens after `position` cached ones.
struct AttentionRun {
  int tokens = 0;
  int position = 0;
};

/// How a step's attention is cut up: every run into groups of 16 (token, head) rows, every group
/// into splits of its KV rows, about one item a multiprocessor.
struct AttentionPlan {
  std::vector<AttentionItem> items;
  std::vector<int> first_item;  ///< of each run
  std::vector<int> splits;      ///< of each run
  bool combine_separately = false;
};
[[nodiscard]] AttentionPlan plan_attention(std::span<const AttentionRun> runs, int heads,
                                           int multiprocessors);
/// Upper bound of AttentionPlan::items.size() for any step of at most `tokens` tokens.
[[nodiscard]] int max_attention_items(int tokens, int heads, int multiprocessors);

/// Columns or rows [begin, end) of a dimension of `size` that rank `rank` of `ranks` holds; sizes
/// are cut in multiples of `unit`.
struct Slice {
  int begin = 0;
  int end = 0;
  [[nodiscard]] int size() const { return end - begin; }
};
[[nodiscard]] Slice slice_of(int size, int unit, int rank, int ranks);

/// Weight bytes one token reads at batch 1, and those a step with `distinct` experts read over all
/// its MoE layers together reads.
[[nodiscard]] std::int64_t step_weight_bytes(const StepDims& dims, Format format,
                                             std::int64_t distinct);

}  // namespace caretd::kernels::cuda
