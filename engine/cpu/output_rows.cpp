#include "engine/cpu/output_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace caretd::engine {

namespace {

constexpr int kGroups = 256;
static_assert(kGroups >= kCandidates);

/// A value that at least `count` logits reach, and not many more: the count-th largest of the
/// maxima of disjoint groups.
float lower_bound_of_best(const kernels::cpu::Kernels& kernels, std::span<const float> logits,
                          int count) {
  std::array<float, kGroups> maxima;
  const int size = static_cast<int>(logits.size());
  const int group = (size + kGroups - 1) / kGroups;
  const int groups = (size + group - 1) / group;
  kernels.group_maxima(logits.data(), size, group, maxima.data());
  const auto nth = maxima.begin() + std::min(count, groups) - 1;
  std::nth_element(maxima.begin(), nth, maxima.begin() + groups, std::greater<>());
  // Fewer groups than wanted: group is 1, so there are not more logits than groups either.
  return *nth;
}

}  // namespace

int find_candidates(const kernels::cpu::Kernels& kernels, std::span<const float> logits,
                    std::span<std::int32_t> indices, std::span<Candidate> best) {
  const int wanted = static_cast<int>(std::min(best.size(), logits.size()));
  const float limit = lower_bound_of_best(kernels, logits, wanted);
  const int found =
      kernels.find_at_least(logits.data(), static_cast<int>(logits.size()), limit, indices.data());
  const auto likelier = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const int count = std::min(found, wanted);
  std::partial_sort(indices.begin(), indices.begin() + count, indices.begin() + found, likelier);
  for (int i = 0; i < count; ++i) {
    const std::int32_t id = indices[static_cast<std::size_t>(i)];
    best[static_cast<std::size_t>(i)] = {.id = id, .logit = logits[static_cast<std::size_t>(id)]};
  }
  return count;
}

Result<void> check_finite(std::span<const OutputRow> rows) {
  for (const OutputRow& row : rows) {
    // A sum in several parts may have passed over a NaN, which then is the first candidate.
    const float best = row.candidates.empty() ? 0.0F : row.candidates.front().logit;
    if (std::isfinite(row.log_sum_exp) && std::isfinite(best)) continue;
    return fail(ErrorKind::internal,
                "The model computed values that are not finite; its weights are damaged or it "
                "does not fit its config.json.");
  }
  return {};
}

}  // namespace caretd::engine
