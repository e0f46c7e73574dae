#include "engine/checkpoint/model_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/checkpoint/weight_layout.h"

namespace caretd::engine {
namespace {

/// YaRN's attention temperature, arXiv 2309.00071 section 3.4, with DeepSeek's weight on it.
double attention_temperature(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

/// The (fractional) pair index whose wave turns `rotations` times within the original context.
double pair_of_rotations(const ModelConfig& config, double rotations) {
  const double wavelength =
      config.rope_scaling.original_context / (rotations * 2 * std::numbers::pi);
  return config.qk_rope_head_dim * std::log(wavelength) / (2 * std::log(config.rope_theta));
}

}  // namespace

double ModelConfig::softmax_scale() const {
  const double temperature =
      attention_temperature(rope_scaling.factor, rope_scaling.mscale_all_dim);
  return temperature * temperature / std::sqrt(q_head_dim());
}

double ModelConfig::rope_multiplier() const {
  return attention_temperature(rope_scaling.factor, rope_scaling.mscale) /
         attention_temperature(rope_scaling.factor, rope_scaling.mscale_all_dim);
}

std::int64_t ModelConfig::parameters() const {
  std::int64_t total = 0;
  for (const TensorSpec& spec : tensor_layout(*this)) total += spec.elements();
  return total;
}

std::int64_t ModelConfig::active_parameters() const {
  const std::int64_t expert = std::int64_t{3} * hidden * moe_intermediate;
  const std::int64_t unread_experts = routed_experts - experts_per_token;
  std::int64_t moe_layers = 0;
  for (int layer = 0; layer < layers; ++layer) moe_layers += is_moe_layer(layer) ? 1 : 0;
  // Of the embedding one row is read; a tied embedding is read in full, as the head.
  const std::int64_t unread_embedding = tied_embeddings ? 0 : std::int64_t{vocab_size - 1} * hidden;
  return parameters() - moe_layers * unread_experts * expert - unread_embedding;
}

std::vector<double> rope_inverse_frequencies(const ModelConfig& config) {
  const int pairs = config.qk_rope_head_dim / 2;
  const RopeScaling& scaling = config.rope_scaling;
  const double low = std::max(std::floor(pair_of_rotations(config, scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_of_rotations(config, scaling.beta_slow)),
                         static_cast<double>(config.qk_rope_head_dim - 1));
  if (high == low) high += 0.001;  // the published code's guard against a division by zero
  std::vector<double> frequencies(static_cast<size_t>(pairs));
  for (int pair = 0; pair < pairs; ++pair) {
    const double plain = std::pow(config.rope_theta, -2.0 * pair / config.qk_rope_head_dim);
    const double interpolated = std::clamp((pair - low) / (high - low), 0.0, 1.0);
    frequencies[static_cast<size_t>(pair)] =
        plain * (1.0 - interpolated) + plain / scaling.factor * interpolated;
  }
  return frequencies;
}

}  // namespace caretd::engine
