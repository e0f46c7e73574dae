#include "engine/checkpoint/model_config.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "engine/checkpoint/shapes.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;
using nlohmann::json;

namespace {

/// DeepSeek-Coder-V2-Lite's config.json as published, in the fields that matter.
constexpr const char* kPublishedLite = R"({
  "architectures": ["DeepseekV2ForCausalLM"],
  "attention_bias": false, "attention_dropout": 0.0, "aux_loss_alpha": 0.001,
  "bos_token_id": 100000, "eos_token_id": 100001,
  "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
  "initializer_range": 0.02, "intermediate_size": 10944, "kv_lora_rank": 512,
  "max_position_embeddings": 163840, "model_type": "deepseek_v2",
  "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1,
  "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
  "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
  "num_key_value_heads": 16, "pretraining_tp": 1, "q_lora_rank": null,
  "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
  "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
                   "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096,
                   "type": "yarn"},
  "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
  "seq_aux": true, "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy",
  "torch_dtype": "bfloat16", "use_cache": true, "v_head_dim": 128, "vocab_size": 102400
})";

/// The changes that turn it into the 236B model's.
constexpr const char* kToFull = R"({
  "hidden_size": 5120, "intermediate_size": 12288, "moe_intermediate_size": 1536,
  "n_group": 8, "n_routed_experts": 160, "num_attention_heads": 128,
  "num_hidden_layers": 60, "num_key_value_heads": 128, "q_lora_rank": 1536,
  "routed_scaling_factor": 16.0, "topk_group": 3, "topk_method": "group_limited_greedy"
})";

json published_lite() {
  return json::parse(kPublishedLite);
}

json published_full() {
  json config = published_lite();
  config.update(json::parse(kToFull));
  return config;
}

/// The published Lite file after transformers 5 has read and written it.
json rewritten_lite() {
  json config = published_lite();
  json rope = config["rope_scaling"];
  rope.erase("type");
  rope["rope_type"] = "yarn";
  rope["rope_theta"] = 10000.0;
  config.erase("rope_scaling");
  config.erase("rope_theta");
  config.erase("moe_layer_freq");
  config.erase("scoring_func");
  config.erase("torch_dtype");
  config["rope_parameters"] = rope;
  config["head_dim"] = 64;
  config["mlp_bias"] = false;
  config["dtype"] = "bfloat16";
  config["n_group"] = nullptr;
  config["topk_group"] = nullptr;
  config["eos_token_id"] = {100001};
  return config;
}

ModelConfig parse(const json& config) {
  const auto parsed = parse_model_config(config.dump(), "config.json");
  INFO((parsed ? std::string() : parsed.error().message));
  REQUIRE(parsed);
  return *parsed;
}

ModelConfig lite() {
  return parse(published_lite());
}

/// What reading the Lite file says after one change, given as a JSON merge patch (null removes).
std::string fault(const char* patch, json config = published_lite()) {
  config.merge_patch(json::parse(patch));
  const auto parsed = parse_model_config(config.dump(), "config.json");
  return parsed ? "parses" : parsed.error().message;
}

}  // namespace

TEST_CASE("the Lite shape has the parameters of the published model") {
  CHECK(lite().parameters() == 15706484224);
  CHECK(std::abs(static_cast<double>(lite().active_parameters()) - 2.4513e9) < 0.0002e9);
}

TEST_CASE("the 236B shape has the parameters of the published model") {
  CHECK(parse(published_full()).parameters() == 235741434880);
}

TEST_CASE("YaRN frequencies and the softmax scale meet the known values") {
  const ModelConfig config = lite();
  const std::vector<double> frequencies = rope_inverse_frequencies(config);
  REQUIRE(frequencies.size() == 32);
  CHECK(frequencies[0] == Approx(1.0));
  CHECK(frequencies[10] == Approx(0.056234133).epsilon(1e-7));
  CHECK(frequencies[11] == Approx(0.039006927).epsilon(1e-7));
  CHECK(frequencies[16] == Approx(0.0055).epsilon(1e-7));
  CHECK(frequencies[22] == Approx(1.7782794e-4).epsilon(1e-7));
  CHECK(frequencies[31] == Approx(3.3338036e-6).epsilon(1e-7));
  CHECK(config.softmax_scale() * std::sqrt(192.0) == Approx(1.589626).epsilon(1e-6));
  CHECK(config.softmax_scale() == Approx(0.1147214).epsilon(1e-6));
  CHECK(config.rope_multiplier() == 1.0);
}

TEST_CASE("the published Lite config is read field by field") {
  const ModelConfig config = lite();
  CHECK(config.layers == 27);
  CHECK(config.hidden == 2048);
  CHECK(config.heads == 16);
  CHECK(config.q_lora_rank == 0);
  CHECK(config.q_width() == 3072);
  CHECK(config.kv_width() == 576);
  CHECK(config.kv_b_width() == 4096);
  CHECK(config.dense_intermediate == 10944);
  CHECK(config.shared_intermediate() == 2816);
  CHECK(config.routing == RoutingMethod::greedy);
  CHECK(config.expert_groups == 1);
  CHECK_FALSE(config.is_moe_layer(0));
  CHECK(config.is_moe_layer(1));
  CHECK_FALSE(config.normalize_topk);
  CHECK_FALSE(config.tied_embeddings);
  CHECK(config.context_tokens == 163840);
  CHECK(config.begin_of_sentence == 100000);
  CHECK(config.end_of_sentence == 100001);
  CHECK(config.rms_norm_eps == 1e-6);
  CHECK(config.fp8_block == std::array{0, 0});
}

TEST_CASE("the published 236B config is read with its routing") {
  const ModelConfig config = parse(published_full());
  CHECK(config.q_lora_rank == 1536);
  CHECK(config.routing == RoutingMethod::group_limited_greedy);
  CHECK(config.expert_groups == 8);
  CHECK(config.groups_per_token == 3);
  CHECK(config.routed_scaling == 16.0F);
  CHECK(config.q_width() == 24576);
}

TEST_CASE("V2.5's mscale of 1 gives its own softmax scale") {
  json json_config = published_full();
  json_config["rope_scaling"]["mscale"] = 1.0;
  json_config["rope_scaling"]["mscale_all_dim"] = 1.0;
  const ModelConfig config = parse(json_config);
  const double m = 0.1 * std::log(40.0) + 1.0;
  CHECK(config.softmax_scale() == Approx(m * m / std::sqrt(192.0)));
  CHECK(config.rope_multiplier() == 1.0);
}

TEST_CASE("a config that transformers 5 rewrote means the same") {
  CHECK(write_model_config(parse(rewritten_lite())) == write_model_config(lite()));
  json both_spellings = rewritten_lite();
  both_spellings["rope_parameters"]["type"] = "yarn";
  CHECK(write_model_config(parse(both_spellings)) == write_model_config(lite()));
  json plain = rewritten_lite();
  plain["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 50000.0}};
  CHECK(parse(plain).rope_theta == 50000.0);
  CHECK(parse(plain).rope_scaling.factor == 1.0);
}

TEST_CASE("without scaling the frequencies are the plain geometric row") {
  json unscaled = published_lite();
  unscaled["rope_scaling"] = nullptr;
  const ModelConfig config = parse(unscaled);
  const std::vector<double> frequencies = rope_inverse_frequencies(config);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    CHECK(frequencies[i] == Approx(std::pow(10000.0, -static_cast<double>(i) / 32.0)));
  }
  CHECK(config.softmax_scale() == Approx(1.0 / std::sqrt(192.0)));
}

TEST_CASE("mscale without mscale_all_dim scales the rotary tables instead of the scores") {
  const ModelConfig config = [] {
    json changed = published_lite();
    changed["rope_scaling"].erase("mscale");
    changed["rope_scaling"].erase("mscale_all_dim");
    return parse(changed);
  }();
  CHECK(config.rope_multiplier() == Approx(0.1 * std::log(40.0) + 1.0));
  CHECK(config.softmax_scale() == Approx(1.0 / std::sqrt(192.0)));
}

TEST_CASE("a written config is read back as it was") {
  for (const NamedShape& shape : named_shapes()) {
    ModelConfig config = *shape_by_name(shape.name);
    config.fp8_block = {128, 64};
    INFO(shape.name);
    const auto read = parse_model_config(write_model_config(config), "config.json");
    REQUIRE(read);
    CHECK(write_model_config(*read) == write_model_config(config));
    CHECK(read->fp8_block == config.fp8_block);
    CHECK(read->rms_norm_eps == config.rms_norm_eps);
    CHECK(read->parameters() == config.parameters());
    CHECK(rope_inverse_frequencies(*read) == rope_inverse_frequencies(config));
  }
}

TEST_CASE("what the engine cannot run faithfully is refused in one sentence") {
  struct Case {
    const char* patch;
    const char* expected;
  };
  const std::vector<Case> cases{
      {R"({"model_type": "llama"})", "model_type is \"llama\"; only \"deepseek_v2\" is supported."},
      {R"({"model_type": null})", "model_type is missing."},
      {R"({"hidden_act": "gelu"})", "hidden_act is \"gelu\"; only \"silu\" is supported."},
      {R"({"scoring_func": "sigmoid"})",
       "scoring_func is \"sigmoid\"; only \"softmax\" is supported."},
      {R"({"attention_bias": true})", "attention_bias is true; biases are not supported."},
      {R"({"num_hidden_layers": null})", "num_hidden_layers is missing."},
      {R"({"num_hidden_layers": 0})", "num_hidden_layers is 0, outside of 1 to 256."},
      {R"({"num_hidden_layers": -3})", "num_hidden_layers is -3, outside of 1 to 256."},
      {R"({"hidden_size": 18446744073709551615})",
       "hidden_size is 18446744073709551615, outside of 1 to 1048576."},
      {R"({"hidden_size": 2048.5})", "hidden_size must be a whole number."},
      {R"({"hidden_size": "2048"})", "hidden_size must be a whole number."},
      {R"({"qk_rope_head_dim": 63})", "qk_rope_head_dim must be even."},
      {R"({"num_key_value_heads": 4})",
       "num_key_value_heads differs from num_attention_heads; latent attention has one pair a "
       "head."},
      {R"({"q_lora_rank": null})", "q_lora_rank is missing (null for none)."},
      {R"({"num_experts_per_tok": 65})", "num_experts_per_tok is 65, outside of 1 to 64."},
      {R"({"topk_method": "noaux_tc"})",
       "topk_method is \"noaux_tc\"; only greedy and group_limited_greedy are supported."},
      {R"({"topk_method": "group_limited_greedy", "n_group": 7})",
       "n_group does not divide n_routed_experts."},
      {R"({"topk_method": "group_limited_greedy", "n_group": 32, "topk_group": 2})",
       "num_experts_per_tok exceeds the experts of the topk_group groups."},
      {R"({"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 9})",
       "topk_group is 9, outside of 1 to 8."},
      {R"({"norm_topk_prob": true, "routed_scaling_factor": 16.0})",
       "norm_topk_prob is true together with a routed_scaling_factor, which implementations read "
       "in different ways."},
      {R"({"rope_scaling": {"type": "dynamic"}})",
       "rope_scaling.type is \"dynamic\"; only yarn is supported."},
      {R"({"rope_scaling": {"rope_type": "llama3"}})", "rope_scaling.rope_type contradicts type."},
      {R"({"rope_scaling": {"factor": 0.5}})",
       "rope_scaling.factor is 0.5, outside of what the engine can compute with."},
      {R"({"rope_scaling": {"original_max_position_embeddings": null}})",
       "rope_scaling.original_max_position_embeddings is missing."},
      {R"({"rope_scaling": {"rope_theta": 20000}})",
       "rope_scaling.rope_theta contradicts the rope_theta beside it."},
      {R"({"rope_scaling": {"attention_factor": 1.3}})",
       "rope_scaling.attention_factor contradicts mscale and mscale_all_dim."},
      {R"({"rope_scaling": {"truncate": false}})",
       "rope_scaling.truncate is false; only YaRN with whole ramp bounds is supported."},
      {R"({"rope_scaling": {"partial_rotary_factor": 0.5}})",
       "rope_scaling.partial_rotary_factor is not 1; partial rotation is not supported."},
      {R"({"rope_scaling": 4})", "rope_scaling must be an object."},
      {R"({"rms_norm_eps": "tiny"})", "rms_norm_eps must be a number."},
      {R"({"eos_token_id": [1, 2]})", "eos_token_id lists 2 ids; exactly one is supported."},
      {R"({"eos_token_id": 102400})", "eos_token_id is 102400, outside of -1 to 102399."},
      {R"({"eos_token_id": [102400]})", "eos_token_id is no id of the vocabulary."},
      {R"({"quantization_config": {"quant_method": "gptq"}})",
       "quantization_config.quant_method is \"gptq\"; only \"fp8\" is supported."},
      {R"({"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}})",
       "quantization_config.fmt is \"e5m2\"; only \"e4m3\" is supported."},
      {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}})",
       "quantization_config.weight_block_size must be a list of two numbers."},
      {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}})",
       "quantization_config.weight_block_size must hold two positive numbers."},
  };
  for (const Case& wrong : cases) {
    INFO(wrong.patch);
    CHECK(fault(wrong.patch) == "config.json: " + std::string(wrong.expected));
  }
}

TEST_CASE("text that is no JSON object is refused") {
  for (const char* text : {"", "[]", "3", "{", "{\"a\": }"}) {
    const auto parsed = parse_model_config(text, "config.json");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message == "config.json: is not a JSON object.");
  }
}
