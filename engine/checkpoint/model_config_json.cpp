#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/safetensors.h"

namespace caretd::engine {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxConfigBytes = 4U << 20;
constexpr double kSameRopeBase = 1e-9;

// Far above every published model of the family, low enough that no product of two of them
// overflows 64 bits and that the tensor list of a hostile file stays small.
constexpr int kMaxLayers = 256;
constexpr int kMaxExperts = 1024;
constexpr int kMaxHeads = 1024;
constexpr int kMaxHeadDim = 4096;
constexpr int kMaxWidth = 1 << 20;
constexpr int kMaxVocabulary = 1 << 24;
constexpr int kMaxContext = 1 << 26;

/// Reads typed fields of one JSON object and remembers the first thing that is wrong, so that the
/// callers below read as a list of fields.
class Fields {
 public:
  Fields(const Json& object, std::string& fault, std::string prefix = {})
      : object_(object), fault_(fault), prefix_(std::move(prefix)) {}

  /// Null where the field is absent or null.
  [[nodiscard]] const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  int required_integer(const char* key, int low, int high) {
    if (find(key) == nullptr) return reject(key, "is missing"), low;
    return integer(key, low, high, low);
  }

  int integer(const char* key, int low, int high, int otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer()) return reject(key, "must be a whole number"), otherwise;
    const bool beyond = value->is_number_unsigned() &&
                        value->get<std::uint64_t>() > std::numeric_limits<std::int32_t>::max();
    const std::int64_t number = beyond ? std::int64_t{high} + 1 : value->get<std::int64_t>();
    if (number < low || number > high) {
      return reject(key, "is " + value->dump() + ", outside of " + std::to_string(low) + " to " +
                             std::to_string(high)),
             otherwise;
    }
    return static_cast<int>(number);
  }

  double number(const char* key, double low, double high, double otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_number()) return reject(key, "must be a number"), otherwise;
    const auto result = value->get<double>();
    if (!(result >= low && result <= high)) {
      return reject(key, "is " + value->dump() + ", outside of what the engine can compute with"),
             otherwise;
    }
    return result;
  }

  bool boolean(const char* key, bool otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) return reject(key, "must be true or false"), otherwise;
    return value->get<bool>();
  }

  std::string text(const char* key, const char* otherwise) {
    const Json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) return reject(key, "must be a string"), otherwise;
    return value->get<std::string>();
  }

  /// For fields that the engine supports one value of.
  void only(const char* key, std::string_view supported) {
    const std::string value = text(key, "");
    if (!value.empty() && value != supported) {
      reject(key, "is " + quote_name(value) + "; only " + quote_name(supported) + " is supported");
    }
  }

  void reject(const std::string& key, const std::string& reason) {
    if (fault_.empty()) fault_ = prefix_ + key + " " + reason;
  }

 private:
  const Json& object_;
  std::string& fault_;
  std::string prefix_;
};

void read_architecture(Fields& fields) {
  if (fields.find("model_type") == nullptr) fields.reject("model_type", "is missing");
  fields.only("model_type", "deepseek_v2");
  fields.only("hidden_act", "silu");
  fields.only("scoring_func", "softmax");
  for (const char* bias : {"attention_bias", "mlp_bias"}) {
    if (fields.boolean(bias, false)) fields.reject(bias, "is true; biases are not supported");
  }
}

void read_shape(Fields& fields, ModelConfig& config) {
  config.layers = fields.required_integer("num_hidden_layers", 1, kMaxLayers);
  config.hidden = fields.required_integer("hidden_size", 1, kMaxWidth);
  config.vocab_size = fields.required_integer("vocab_size", 1, kMaxVocabulary);
  config.context_tokens = fields.required_integer("max_position_embeddings", 1, kMaxContext);
  config.rms_norm_eps = fields.number("rms_norm_eps", 0.0, 1.0, config.rms_norm_eps);
  config.tied_embeddings = fields.boolean("tie_word_embeddings", false);
}

void read_attention(Fields& fields, ModelConfig& config) {
  config.heads = fields.required_integer("num_attention_heads", 1, kMaxHeads);
  if (fields.integer("num_key_value_heads", 1, kMaxHeads, config.heads) != config.heads) {
    fields.reject("num_key_value_heads",
                  "differs from num_attention_heads; latent attention has one pair a head");
  }
  // Null says "no query compression"; leaving the field out says nothing, and the library that
  // wrote the file may have meant its default of 1536.
  config.q_lora_rank = fields.integer("q_lora_rank", 0, kMaxWidth, 0);
  config.kv_lora_rank = fields.required_integer("kv_lora_rank", 1, kMaxWidth);
  config.qk_nope_head_dim = fields.required_integer("qk_nope_head_dim", 1, kMaxHeadDim);
  config.qk_rope_head_dim = fields.required_integer("qk_rope_head_dim", 2, kMaxHeadDim);
  config.v_head_dim = fields.required_integer("v_head_dim", 1, kMaxHeadDim);
  if (config.qk_rope_head_dim % 2 != 0) fields.reject("qk_rope_head_dim", "must be even");
}

void read_routing(Fields& fields, ModelConfig& config) {
  const std::string method = fields.text("topk_method", "greedy");
  config.routed_scaling =
      static_cast<float>(fields.number("routed_scaling_factor", 1e-6, 1e6, 1.0));
  config.normalize_topk = fields.boolean("norm_topk_prob", false);
  if (config.normalize_topk && config.routed_scaling != 1.0F) {
    fields.reject("norm_topk_prob",
                  "is true together with a routed_scaling_factor, which implementations read in "
                  "different ways");
  }
  if (method == "greedy") return;  // groups, where given, play no part
  if (method != "group_limited_greedy") {
    fields.reject("topk_method", "is " + quote_name(method) +
                                     "; only greedy and group_limited_greedy are supported");
    return;
  }
  config.routing = RoutingMethod::group_limited_greedy;
  config.expert_groups = fields.required_integer("n_group", 1, kMaxExperts);
  config.groups_per_token = fields.required_integer("topk_group", 1, config.expert_groups);
  if (config.routed_experts % config.expert_groups != 0) {
    fields.reject("n_group", "does not divide n_routed_experts");
  } else if (config.experts_per_token >
             config.routed_experts / config.expert_groups * config.groups_per_token) {
    fields.reject("num_experts_per_tok", "exceeds the experts of the topk_group groups");
  }
}

void read_feed_forward(Fields& fields, ModelConfig& config) {
  config.routed_experts = fields.integer("n_routed_experts", 0, kMaxExperts, 0);
  config.dense_layers = fields.integer("first_k_dense_replace", 0, kMaxLayers, 0);
  config.moe_layer_freq = fields.integer("moe_layer_freq", 1, kMaxLayers, 1);
  bool any_dense = false;
  bool any_moe = false;
  for (int layer = 0; layer < config.layers; ++layer) {
    (config.is_moe_layer(layer) ? any_moe : any_dense) = true;
  }
  config.dense_intermediate = any_dense ? fields.required_integer("intermediate_size", 1, kMaxWidth)
                                        : fields.integer("intermediate_size", 0, kMaxWidth, 0);
  if (config.routed_experts == 0) return;
  config.experts_per_token =
      fields.required_integer("num_experts_per_tok", 1, config.routed_experts);
  config.shared_experts = fields.integer("n_shared_experts", 0, kMaxExperts, 0);
  config.moe_intermediate = any_moe ? fields.required_integer("moe_intermediate_size", 1, kMaxWidth)
                                    : fields.integer("moe_intermediate_size", 0, kMaxWidth, 0);
  read_routing(fields, config);
}

/// rope_scaling as DeepSeek publishes it ("type") and rope_parameters as transformers 5 writes it
/// ("rope_type", rope_theta inside). Both may carry both spellings of the type.
void read_yarn(Fields& scaling, const ModelConfig& config, RopeScaling& result) {
  if (scaling.find("factor") == nullptr) scaling.reject("factor", "is missing");
  result.factor = scaling.number("factor", 1.0, 1e6, 1.0);
  result.beta_fast = scaling.number("beta_fast", 1e-3, 1e6, result.beta_fast);
  result.beta_slow = scaling.number("beta_slow", 1e-3, 1e6, result.beta_slow);
  result.original_context =
      scaling.required_integer("original_max_position_embeddings", 1, kMaxContext);
  result.mscale = scaling.number("mscale", 0.0, 100.0, result.mscale);
  result.mscale_all_dim = scaling.number("mscale_all_dim", 0.0, 100.0, result.mscale_all_dim);
  if (!scaling.boolean("truncate", true)) {
    scaling.reject("truncate", "is false; only YaRN with whole ramp bounds is supported");
  }
  ModelConfig with_scaling = config;
  with_scaling.rope_scaling = result;
  const double multiplier = with_scaling.rope_multiplier();
  if (std::abs(scaling.number("attention_factor", 0.0, 100.0, multiplier) - multiplier) > 1e-6) {
    scaling.reject("attention_factor", "contradicts mscale and mscale_all_dim");
  }
}

std::string rope_type(Fields& scaling) {
  const std::string published = scaling.text("type", "");
  const std::string renamed = scaling.text("rope_type", "");
  if (!published.empty() && !renamed.empty() && published != renamed) {
    scaling.reject("rope_type", "contradicts type");
  }
  if (!renamed.empty()) return renamed;
  return published.empty() ? "default" : published;
}

void read_rope(Fields& fields, ModelConfig& config, std::string& fault) {
  const bool renamed = fields.find("rope_parameters") != nullptr;
  const std::string name = renamed ? "rope_parameters" : "rope_scaling";
  config.rope_theta = fields.number("rope_theta", 1.000001, 1e12, config.rope_theta);
  const Json* object = fields.find(name.c_str());
  if (object == nullptr) return;
  if (!object->is_object()) return fields.reject(name, "must be an object");
  Fields scaling(*object, fault, name + ".");
  const double theta = scaling.number("rope_theta", 1.000001, 1e12, config.rope_theta);
  if (fields.find("rope_theta") != nullptr &&
      std::abs(theta - config.rope_theta) > kSameRopeBase * theta) {
    scaling.reject("rope_theta", "contradicts the rope_theta beside it");
  }
  config.rope_theta = theta;
  if (scaling.number("partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    scaling.reject("partial_rotary_factor", "is not 1; partial rotation is not supported");
  }
  const std::string type = rope_type(scaling);
  if (type == "default") return;
  if (type != "yarn") {
    return scaling.reject("type", "is " + quote_name(type) + "; only yarn is supported");
  }
  read_yarn(scaling, config, config.rope_scaling);
}

/// A token id, or the one-element list that newer files hold; -1 where there is none.
TokenId read_token(Fields& fields, const char* key, const ModelConfig& config) {
  const Json* value = fields.find(key);
  if (value == nullptr || !value->is_array()) {
    return fields.integer(key, -1, config.vocab_size - 1, -1);
  }
  if (value->size() != 1) {
    fields.reject(key, "lists " + std::to_string(value->size()) + " ids; exactly one is supported");
    return -1;
  }
  const Json& only = value->front();
  if (!only.is_number_unsigned() ||
      only.get<std::uint64_t>() >= static_cast<std::uint64_t>(config.vocab_size)) {
    fields.reject(key, "is no id of the vocabulary");
    return -1;
  }
  return only.get<TokenId>();
}

void read_quantization(Fields& fields, ModelConfig& config, std::string& fault) {
  const Json* object = fields.find("quantization_config");
  if (object == nullptr) return;
  if (!object->is_object()) return fields.reject("quantization_config", "must be an object");
  Fields quantization(*object, fault, "quantization_config.");
  if (quantization.find("quant_method") == nullptr)
    quantization.reject("quant_method", "is missing");
  quantization.only("quant_method", "fp8");
  quantization.only("fmt", "e4m3");
  const Json* block = quantization.find("weight_block_size");
  if (block == nullptr) return;
  if (!block->is_array() || block->size() != 2) {
    return quantization.reject("weight_block_size", "must be a list of two numbers");
  }
  for (size_t side = 0; side < 2; ++side) {
    const Json& extent = (*block)[side];
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() < 1 ||
        extent.get<std::uint64_t>() > kMaxWidth) {
      return quantization.reject("weight_block_size", "must hold two positive numbers");
    }
    config.fp8_block[side] = extent.get<int>();
  }
}

Json rope_scaling_json(const RopeScaling& scaling) {
  if (scaling.factor == 1.0) return nullptr;
  return {{"type", "yarn"},
          {"factor", scaling.factor},
          {"original_max_position_embeddings", scaling.original_context},
          {"beta_fast", scaling.beta_fast},
          {"beta_slow", scaling.beta_slow},
          {"mscale", scaling.mscale},
          {"mscale_all_dim", scaling.mscale_all_dim}};
}

Json optional_token(TokenId id) {
  return id < 0 ? Json(nullptr) : Json(id);
}
Json optional_count(int count) {
  return count == 0 ? Json(nullptr) : Json(count);
}

}  // namespace

Result<ModelConfig> parse_model_config(const std::string& json, const std::string& file_name) {
  const Json document = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return fail(ErrorKind::invalid_input, file_name + ": is not a JSON object.");
  }
  std::string fault;
  Fields fields(document, fault);
  ModelConfig config;
  read_architecture(fields);
  read_shape(fields, config);
  if (!document.contains("q_lora_rank")) fields.reject("q_lora_rank", "is missing (null for none)");
  read_attention(fields, config);
  read_feed_forward(fields, config);
  read_rope(fields, config, fault);
  config.begin_of_sentence = read_token(fields, "bos_token_id", config);
  config.end_of_sentence = read_token(fields, "eos_token_id", config);
  read_quantization(fields, config, fault);
  if (!fault.empty()) return fail(ErrorKind::unsupported, file_name + ": " + fault + ".");
  return config;
}

Result<ModelConfig> read_model_config(const std::filesystem::path& file) {
  auto text = read_text_file(file, kMaxConfigBytes);
  if (!text) return pass_on(std::move(text));
  return parse_model_config(*text, file.string());
}

std::string write_model_config(const ModelConfig& config, bool fp8_weights) {
  const bool grouped = config.routing == RoutingMethod::group_limited_greedy;
  nlohmann::ordered_json json{{"architectures", {"DeepseekV2ForCausalLM"}},
                              {"model_type", "deepseek_v2"},
                              {"vocab_size", config.vocab_size},
                              {"hidden_size", config.hidden},
                              {"num_hidden_layers", config.layers},
                              {"num_attention_heads", config.heads},
                              {"num_key_value_heads", config.heads},
                              {"q_lora_rank", optional_count(config.q_lora_rank)},
                              {"kv_lora_rank", config.kv_lora_rank},
                              {"qk_nope_head_dim", config.qk_nope_head_dim},
                              {"qk_rope_head_dim", config.qk_rope_head_dim},
                              {"v_head_dim", config.v_head_dim},
                              {"intermediate_size", config.dense_intermediate},
                              {"moe_intermediate_size", config.moe_intermediate},
                              {"first_k_dense_replace", config.dense_layers},
                              {"moe_layer_freq", config.moe_layer_freq},
                              {"n_routed_experts", optional_count(config.routed_experts)},
                              {"n_shared_experts", optional_count(config.shared_experts)},
                              {"num_experts_per_tok", optional_count(config.experts_per_token)},
                              {"topk_method", grouped ? "group_limited_greedy" : "greedy"},
                              {"n_group", config.expert_groups},
                              {"topk_group", config.groups_per_token},
                              {"routed_scaling_factor", config.routed_scaling},
                              {"norm_topk_prob", config.normalize_topk},
                              {"scoring_func", "softmax"},
                              {"hidden_act", "silu"},
                              {"attention_bias", false},
                              {"rms_norm_eps", config.rms_norm_eps},
                              {"max_position_embeddings", config.context_tokens},
                              {"rope_theta", config.rope_theta},
                              {"rope_scaling", rope_scaling_json(config.rope_scaling)},
                              {"tie_word_embeddings", config.tied_embeddings},
                              {"bos_token_id", optional_token(config.begin_of_sentence)},
                              {"eos_token_id", optional_token(config.end_of_sentence)}};
  if (fp8_weights || config.fp8_block[0] > 0) {
    json["quantization_config"] = {
        {"quant_method", "fp8"}, {"fmt", "e4m3"}, {"activation_scheme", "dynamic"}};
  }
  if (config.fp8_block[0] > 0) {
    json["quantization_config"]["weight_block_size"] = config.fp8_block;
  }
  return json.dump(2) + "\n";
}

}  // namespace caretd::engine
