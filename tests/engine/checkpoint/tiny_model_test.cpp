// The embedded model as a fixed point: values below were decoded from models/tiny by a separate
// script (Python's struct module), not by the code under test.
#include <filesystem>

#include "engine/checkpoint/checkpoint.h"
#include "tests/helpers/catch.h"

using namespace caretd::engine;

namespace {

float element(const MatrixView& matrix, std::int64_t row, std::int64_t col) {
  std::vector<float> values(static_cast<size_t>(matrix.cols));
  dequantize_row(matrix, row, values);
  return values[static_cast<size_t>(col)];
}

std::shared_ptr<const Checkpoint> open_tiny() {
  auto opened = Checkpoint::open("models/tiny");
  INFO((opened ? std::string() : opened.error().message));
  REQUIRE(opened);
  return *opened;
}

}  // namespace

TEST_CASE("the embedded model opens with the shape its config states") {
  const auto checkpoint = open_tiny();
  const ModelConfig& config = checkpoint->config();
  CHECK(config.layers == 8);
  CHECK(config.kv_width() == 160);
  CHECK(config.q_lora_rank == 0);
  CHECK(config.tied_embeddings);
  CHECK(config.fp8_block == std::array{128, 128});
  CHECK(config.begin_of_sentence == 12280);
  CHECK(config.end_of_sentence == 12281);
  CHECK(config.rope_scaling.factor == 2.0);
  CHECK(checkpoint->bytes() == 33530456);
  CHECK(config.parameters() == 28755328);

  const ModelWeights& weights = checkpoint->weights();
  CHECK(weights.head.data == weights.embedding.data);
  REQUIRE(weights.layers.size() == 8);
  CHECK(weights.layers[0].router.empty());
  CHECK(weights.layers[0].experts.empty());
  CHECK(weights.layers[1].dense.gate.empty());
  CHECK(weights.layers[1].experts.size() == 16);
  CHECK(weights.layers[1].attention.q_a.empty());
}

TEST_CASE("the embedded model's values are those in the file") {
  const auto checkpoint = open_tiny();
  const ModelWeights& weights = checkpoint->weights();
  CHECK(element(weights.embedding, 0, 0) == -0.057861328125F);
  CHECK(element(weights.embedding, 12287, 383) == 0.059326171875F);
  CHECK(element(weights.layers[1].experts[3].gate, 5, 0) == 0.02188546396791935F);
  CHECK(element(weights.layers[1].experts[3].gate, 127, 383) == -0.1242327019572258F);
  CHECK(element(weights.layers[4].router, 15, 7) == -0.00628662109375F);
  CHECK(element(weights.layers[0].dense.down, 200, 1000) == -0.0010626657167449594F);
  CHECK(to_float(weights.final_norm)[383] == 1.6484375F);
  CHECK(to_float(weights.layers[2].attention.kv_a_norm)[17] == 0.83203125F);
}

TEST_CASE("ragged last blocks take their own scales") {
  const auto checkpoint = open_tiny();
  const auto& layers = checkpoint->weights().layers;
  // 160 rows: the second block row has 32. 576 rows: the fifth has 64.
  CHECK(element(layers[7].attention.kv_a, 159, 300) == 0.0569196417927742F);
  CHECK(element(layers[3].attention.q, 575, 130) == -0.1569475531578064F);
}
