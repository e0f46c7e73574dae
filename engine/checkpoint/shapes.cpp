#include "engine/checkpoint/shapes.h"

#include <array>
#include <string>

namespace caretd::engine {
namespace {

ModelConfig lite() {
  ModelConfig config;
  config.layers = 27;
  config.hidden = 2048;
  config.heads = 16;
  config.kv_lora_rank = 512;
  config.qk_nope_head_dim = 128;
  config.qk_rope_head_dim = 64;
  config.v_head_dim = 128;
  config.dense_intermediate = 10944;
  config.dense_layers = 1;
  config.routed_experts = 64;
  config.experts_per_token = 6;
  config.shared_experts = 2;
  config.moe_intermediate = 1408;
  config.rope_scaling = {.factor = 40.0,
                         .beta_fast = 32.0,
                         .beta_slow = 1.0,
                         .original_context = 4096,
                         .mscale = 0.707,
                         .mscale_all_dim = 0.707};
  config.vocab_size = 102400;
  config.context_tokens = 163840;
  config.begin_of_sentence = 100000;
  config.end_of_sentence = 100001;
  return config;
}

ModelConfig full() {
  ModelConfig config = lite();
  config.layers = 60;
  config.hidden = 5120;
  config.heads = 128;
  config.q_lora_rank = 1536;
  config.dense_intermediate = 12288;
  config.routed_experts = 160;
  config.moe_intermediate = 1536;
  config.routing = RoutingMethod::group_limited_greedy;
  config.expert_groups = 8;
  config.groups_per_token = 3;
  config.routed_scaling = 16.0F;
  return config;
}

ModelConfig tiny() {
  ModelConfig config = lite();
  config.layers = 8;
  config.hidden = 384;
  config.heads = 6;
  config.kv_lora_rank = 128;
  config.qk_nope_head_dim = 64;
  config.qk_rope_head_dim = 32;
  config.v_head_dim = 64;
  config.dense_intermediate = 1024;
  config.routed_experts = 16;
  config.moe_intermediate = 128;
  config.rope_scaling.factor = 2.0;
  config.rope_scaling.original_context = 1024;
  config.vocab_size = 12288;
  config.context_tokens = 2048;
  config.tied_embeddings = true;
  config.begin_of_sentence = 12280;
  config.end_of_sentence = 12281;
  return config;
}

ModelConfig small() {
  ModelConfig config = tiny();
  config.layers = 3;
  config.hidden = 320;
  config.heads = 4;
  config.dense_intermediate = 448;
  config.experts_per_token = 4;
  config.moe_intermediate = 96;
  config.rope_scaling.factor = 4.0;
  config.rope_scaling.original_context = 512;
  config.vocab_size = 1000;
  config.tied_embeddings = false;
  config.begin_of_sentence = 0;
  config.end_of_sentence = 1;
  return config;
}

ModelConfig small_q_lora() {
  ModelConfig config = small();
  config.q_lora_rank = 192;
  return config;
}

ModelConfig small_grouped() {
  ModelConfig config = small();
  config.routing = RoutingMethod::group_limited_greedy;
  config.expert_groups = 4;
  config.groups_per_token = 2;
  config.routed_scaling = 16.0F;
  return config;
}

ModelConfig small_full() {
  ModelConfig config = small_grouped();
  config.q_lora_rank = 192;
  return config;
}

ModelConfig small_normalized() {
  ModelConfig config = small();
  config.normalize_topk = true;
  return config;
}

ModelConfig small_tied() {
  ModelConfig config = small();
  config.tied_embeddings = true;
  return config;
}

ModelConfig small_dense() {
  ModelConfig config = small();
  config.routed_experts = 0;
  config.experts_per_token = 0;
  config.shared_experts = 0;
  config.moe_intermediate = 0;
  config.dense_layers = 0;
  return config;
}

ModelConfig small_plain_rope() {
  ModelConfig config = small();
  config.rope_scaling = {};
  return config;
}

ModelConfig small_unshared() {
  ModelConfig config = small();
  config.shared_experts = 0;
  return config;
}

ModelConfig small_wide_heads() {
  ModelConfig config = small();
  config.heads = 2;
  config.kv_lora_rank = 512;
  config.qk_nope_head_dim = 128;
  config.qk_rope_head_dim = 64;
  config.v_head_dim = 128;
  return config;
}

struct Maker {
  NamedShape shape;
  ModelConfig (*make)();
};

constexpr std::array<Maker, 13> kMakers{{
    {{"lite", "DeepSeek-Coder-V2-Lite, 15.7 B parameters"}, lite},
    {{"full", "DeepSeek-Coder-V2, 235.7 B parameters"}, full},
    {{"tiny", "the embedded model, 28.8 M parameters"}, tiny},
    {{"small", "3 layers, plain q projection, greedy routing"}, small},
    {{"small-q-lora", "small with a compressed query"}, small_q_lora},
    {{"small-grouped", "small with group-limited routing and scaling factor 16"}, small_grouped},
    {{"small-full", "small with everything that the 236B model has"}, small_full},
    {{"small-normalized", "small with renormalised routing weights"}, small_normalized},
    {{"small-tied", "small with the head tied to the embedding"}, small_tied},
    {{"small-dense", "small without experts"}, small_dense},
    {{"small-plain-rope", "small without YaRN"}, small_plain_rope},
    {{"small-unshared", "small without shared experts"}, small_unshared},
    {{"small-wide-heads", "small with the head sizes of lite and full"}, small_wide_heads},
}};

constexpr auto kShapes = [] {
  std::array<NamedShape, kMakers.size()> shapes{};
  for (size_t i = 0; i < shapes.size(); ++i) shapes[i] = kMakers[i].shape;
  return shapes;
}();

}  // namespace

std::span<const NamedShape> named_shapes() {
  return kShapes;
}

Result<ModelConfig> shape_by_name(std::string_view name, int layers) {
  std::string known;
  for (const Maker& maker : kMakers) {
    if (maker.shape.name == name) {
      ModelConfig config = maker.make();
      if (layers > 0) config.layers = layers;
      return config;
    }
    known += (known.empty() ? "" : ", ") + std::string(maker.shape.name);
  }
  return fail(ErrorKind::not_found, "there is no shape named \"" + std::string(name) +
                                        "\"; the shapes are " + known + ".");
}

}  // namespace caretd::engine
