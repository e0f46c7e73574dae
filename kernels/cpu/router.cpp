#include "kernels/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace caretd::kernels::cpu {

namespace {

constexpr float kTaken = -1.0F;  // below every probability

void softmax(std::span<float> values) {
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0.0F;
  for (float& value : values) {
    value = std::exp(value - largest);
    sum += value;
  }
  for (float& value : values) {
    value /= sum;
    if (std::isnan(value)) value = 0.0F;
  }
}

/// The index of the largest value, the first of equal ones.
std::size_t largest_of(std::span<const float> values) {
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

/// Sets the probabilities outside the best groups to 0. A group is worth its best expert; of equal
/// groups the first ones stay.
void keep_best_groups(const Routing& routing, std::span<float> probabilities) {
  const auto groups = static_cast<std::size_t>(routing.groups);
  const std::size_t size = probabilities.size() / groups;
  std::vector<float> scores(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    const auto group = probabilities.subspan(g * size, size);
    scores[g] = *std::ranges::max_element(group);
  }
  for (std::size_t g = 0; g < groups; ++g) {
    int better = 0;
    for (std::size_t other = 0; other < groups; ++other) {
      if (scores[other] > scores[g] || (scores[other] == scores[g] && other < g)) ++better;
    }
    if (better >= routing.groups_per_token) {
      std::ranges::fill(probabilities.subspan(g * size, size), 0.0F);
    }
  }
}

}  // namespace

void choose_experts(const Routing& routing, std::span<float> logits,
                    std::span<ChosenExpert> chosen) {
  softmax(logits);
  if (routing.groups > 1) keep_best_groups(routing, logits);
  float sum = 0.0F;
  for (ChosenExpert& choice : chosen) {
    const std::size_t best = largest_of(logits);
    choice = {.expert = static_cast<std::int32_t>(best), .weight = logits[best]};
    sum += choice.weight;
    logits[best] = kTaken;
  }
  const float factor = routing.normalize ? routing.scaling / (sum + 1e-20F) : routing.scaling;
  for (ChosenExpert& choice : chosen) choice.weight *= factor;
}

}  // namespace caretd::kernels::cpu
