// The architecture of a DeepSeek-V2 family model as its config.json states it.
// Shapes and terms: DeepSeek-V2 (arXiv 2405.04434), sections 2.1 (latent attention) and 2.2 (MoE).
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

enum class RoutingMethod : std::uint8_t { greedy, group_limited_greedy };

/// YaRN position scaling (arXiv 2309.00071), static from position 0. factor 1 means plain RoPE.
struct RopeScaling {
  double factor = 1.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  int original_context = 4096;
  double mscale = 1.0;
  double mscale_all_dim = 0.0;  ///< 0: no correction of the softmax scale
};

struct ModelConfig {
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int q_lora_rank = 0;  ///< 0: one plain q_proj
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;
  int v_head_dim = 0;
  int dense_intermediate = 0;  ///< FFN width of the first `dense_layers` layers
  int dense_layers = 0;        ///< first_k_dense_replace
  int moe_layer_freq = 1;
  int routed_experts = 0;  ///< 0: every layer is dense
  int experts_per_token = 0;
  int shared_experts = 0;
  int moe_intermediate = 0;  ///< width of one expert; the shared MLP is shared_experts as wide
  RoutingMethod routing = RoutingMethod::greedy;
  int expert_groups = 1;
  int groups_per_token = 1;
  float routed_scaling = 1.0F;
  /// Routing weights are divided by their sum. Published implementations disagree on whether
  /// routed_scaling still applies then, so reading refuses the combination with a scaling not 1.
  bool normalize_topk = false;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  int vocab_size = 0;      ///< rows of the embedding, padding included
  int context_tokens = 0;  ///< max_position_embeddings
  bool tied_embeddings = false;
  TokenId begin_of_sentence = -1;
  TokenId end_of_sentence = -1;
  /// Block of one weight_scale_inv entry; {0, 0} where the file announces no block-wise scales.
  std::array<int, 2> fp8_block{0, 0};

  [[nodiscard]] int q_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  [[nodiscard]] int q_width() const { return heads * q_head_dim(); }
  /// Numbers the KV cache holds for one token and layer.
  [[nodiscard]] int kv_width() const { return kv_lora_rank + qk_rope_head_dim; }
  [[nodiscard]] int kv_b_width() const { return heads * (qk_nope_head_dim + v_head_dim); }
  [[nodiscard]] int shared_intermediate() const { return shared_experts * moe_intermediate; }
  [[nodiscard]] bool is_moe_layer(int layer) const {
    return routed_experts > 0 && layer >= dense_layers && layer % moe_layer_freq == 0;
  }
  /// The 236B models, which alone compress the queries, have the tokens for filling in the middle
  /// and were trained without (DeepSeek-Coder-V2 paper, table 2).
  [[nodiscard]] bool trained_without_fim() const { return q_lora_rank > 0; }
  /// (qk_nope + qk_rope)^-0.5 * m^2, m = 0.1 * mscale_all_dim * ln(factor) + 1 (YaRN).
  [[nodiscard]] double softmax_scale() const;
  /// Multiplier of the cosine and sine tables: m(mscale) / m(mscale_all_dim).
  [[nodiscard]] double rope_multiplier() const;
  /// Parameters a complete checkpoint of this shape has, and those one token reads.
  [[nodiscard]] std::int64_t parameters() const;
  [[nodiscard]] std::int64_t active_parameters() const;
};

/// Reads and validates config.json. Rejects, in one sentence, what the engine cannot run
/// faithfully: other architectures, unknown scaling or routing methods, biases, absurd sizes.
[[nodiscard]] Result<ModelConfig> read_model_config(const std::filesystem::path& file);
[[nodiscard]] Result<ModelConfig> parse_model_config(const std::string& json,
                                                     const std::string& file_name);
/// The config.json text that parse_model_config reads back as `config`. A quantization_config is
/// written for block-wise scales (fp8_block) and, without a block size, where `fp8_weights` says
/// so.
[[nodiscard]] std::string write_model_config(const ModelConfig& config, bool fp8_weights = false);

/// inv_freq[i] of the rotary embedding after YaRN, qk_rope_head_dim / 2 entries, in float64.
[[nodiscard]] std::vector<double> rope_inverse_frequencies(const ModelConfig& config);

}  // namespace caretd::engine
