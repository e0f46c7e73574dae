#include "engine/checkpoint/model_config.h"

#include <cmath>

#include "tests/helpers/catch.h"

using namespace caretd::engine;

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
  config.vocab_size = 102400;
  config.context_tokens = 163840;
  config.rope_scaling = {40, 32, 1, 4096, 0.707, 0.707};
  return config;
}

}  // namespace

TEST_CASE("the Lite shape has the parameters of the published model") {
  CHECK(lite().parameters() == 15706484224);
  CHECK(std::abs(static_cast<double>(lite().active_parameters()) - 2.4513e9) < 0.0002e9);
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
