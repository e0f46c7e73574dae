// Chooses the experts of a token (DeepSeek-V2, arXiv 2405.04434, sections 2.2.1 and 2.2.2).
#pragma once

#include <cstdint>
#include <span>

namespace caretd::kernels::cpu {

/// How experts are chosen. With groups > 1 the experts are `groups` equal ranges, and only the
/// `groups_per_token` ranges that hold the largest single probabilities take part.
struct Routing {
  int experts = 0;
  int experts_per_token = 0;
  int groups = 1;
  int groups_per_token = 1;
  bool normalize = false;  ///< divide the chosen weights by their sum
  float scaling = 1.0F;    ///< multiplies the weights
};

struct ChosenExpert {
  std::int32_t expert = 0;
  float weight = 0.0F;
};

/// Softmax over all experts, then the largest probabilities in descending order, equal ones by
/// ascending index. `logits` [experts] is overwritten with the probabilities; `chosen` has
/// experts_per_token elements. Always names valid, different experts, whatever the logits are.
void choose_experts(const Routing& routing, std::span<float> logits,
                    std::span<ChosenExpert> chosen);

}  // namespace caretd::kernels::cpu
