#include "engine/checkpoint/weight_layout.h"

#include <utility>

namespace caretd::engine {
namespace {

class SlotLister {
 public:
  SlotLister(const ModelConfig& config, std::vector<WeightSlot>& slots)
      : config_(config), slots_(slots) {}

  void matrix(MatrixView& view, std::string name, TensorRole role, std::int64_t rows,
              std::int64_t cols) {
    slots_.push_back({{std::move(name) + ".weight", role, rows, cols}, &view, nullptr});
  }
  void norm(VectorView& view, std::string name, std::int64_t size) {
    slots_.push_back({{std::move(name) + ".weight", TensorRole::norm, size, 0}, nullptr, &view});
  }

  void attention(AttentionWeights& attention, const std::string& prefix) {
    const ModelConfig& c = config_;
    if (c.q_lora_rank > 0) {
      matrix(attention.q_a, prefix + "q_a_proj", TensorRole::linear, c.q_lora_rank, c.hidden);
      norm(attention.q_a_norm, prefix + "q_a_layernorm", c.q_lora_rank);
      matrix(attention.q_b, prefix + "q_b_proj", TensorRole::linear, c.q_width(), c.q_lora_rank);
    } else {
      matrix(attention.q, prefix + "q_proj", TensorRole::linear, c.q_width(), c.hidden);
    }
    matrix(attention.kv_a, prefix + "kv_a_proj_with_mqa", TensorRole::linear, c.kv_width(),
           c.hidden);
    norm(attention.kv_a_norm, prefix + "kv_a_layernorm", c.kv_lora_rank);
    matrix(attention.kv_b, prefix + "kv_b_proj", TensorRole::linear, c.kv_b_width(),
           c.kv_lora_rank);
    matrix(attention.o, prefix + "o_proj", TensorRole::linear, c.hidden,
           std::int64_t{c.heads} * c.v_head_dim);
  }

  void mlp(MlpWeights& mlp, const std::string& prefix, std::int64_t intermediate) {
    matrix(mlp.gate, prefix + "gate_proj", TensorRole::linear, intermediate, config_.hidden);
    matrix(mlp.up, prefix + "up_proj", TensorRole::linear, intermediate, config_.hidden);
    matrix(mlp.down, prefix + "down_proj", TensorRole::linear, config_.hidden, intermediate);
  }

  void layer(LayerWeights& layer, int number) {
    const std::string prefix = "model.layers." + std::to_string(number) + ".";
    norm(layer.attention.input_norm, prefix + "input_layernorm", config_.hidden);
    attention(layer.attention, prefix + "self_attn.");
    norm(layer.ffn_norm, prefix + "post_attention_layernorm", config_.hidden);
    if (!config_.is_moe_layer(number)) {
      mlp(layer.dense, prefix + "mlp.", config_.dense_intermediate);
      return;
    }
    matrix(layer.router, prefix + "mlp.gate", TensorRole::router, config_.routed_experts,
           config_.hidden);
    if (config_.shared_experts > 0) {
      mlp(layer.shared, prefix + "mlp.shared_experts.", config_.shared_intermediate());
    }
    layer.experts.resize(static_cast<size_t>(config_.routed_experts));
    for (size_t expert = 0; expert < layer.experts.size(); ++expert) {
      mlp(layer.experts[expert], prefix + "mlp.experts." + std::to_string(expert) + ".",
          config_.moe_intermediate);
    }
  }

 private:
  const ModelConfig& config_;
  std::vector<WeightSlot>& slots_;
};

}  // namespace

std::vector<WeightSlot> weight_slots(const ModelConfig& config, ModelWeights& weights) {
  std::vector<WeightSlot> slots;
  SlotLister lister(config, slots);
  weights.layers.resize(static_cast<size_t>(config.layers));
  lister.matrix(weights.embedding, "model.embed_tokens", TensorRole::embedding, config.vocab_size,
                config.hidden);
  for (int number = 0; number < config.layers; ++number) {
    lister.layer(weights.layers[static_cast<size_t>(number)], number);
  }
  lister.norm(weights.final_norm, "model.norm", config.hidden);
  if (!config.tied_embeddings) {
    lister.matrix(weights.head, "lm_head", TensorRole::head, config.vocab_size, config.hidden);
  }
  return slots;
}

std::vector<TensorSpec> tensor_layout(const ModelConfig& config) {
  ModelWeights unused;
  std::vector<TensorSpec> specs;
  for (WeightSlot& slot : weight_slots(config, unused)) specs.push_back(std::move(slot.spec));
  return specs;
}

}  // namespace caretd::engine
