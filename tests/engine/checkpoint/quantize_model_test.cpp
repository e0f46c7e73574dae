#include "engine/checkpoint/quantize_model.h"

#include <algorithm>
#include <cmath>

#include "engine/checkpoint/weight_layout.h"
#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::TemporaryFolder;
using caretd::test::write_file;
using caretd::test::WrittenModel;
using nlohmann::json;

namespace {

std::vector<float> values_of(const MatrixView& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    dequantize_row(matrix, row,
                   std::span(values).subspan(static_cast<size_t>(row * matrix.cols),
                                             static_cast<size_t>(matrix.cols)));
  }
  return values;
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{a[i]} * a[i];
  }
  return std::sqrt(error / norm);
}

}  // namespace

TEST_CASE("a quantized model opens, keeps what it should and is as far off as it says") {
  const auto format = GENERATE(WeightFormat::bf16, WeightFormat::f32);
  const WrittenModel source(format, 1 << 20, "small-full");
  const TemporaryFolder folder;
  const auto target = folder.path() / "fp8";
  const auto report = quantize_model(source.path(), target, {.shard_bytes = 1 << 20});
  INFO((report ? std::string() : report.error().message));
  REQUIRE(report);
  const auto before = Checkpoint::open(source.path());
  const auto after = Checkpoint::open(target);
  INFO((after ? std::string() : after.error().message));
  REQUIRE(after);
  CHECK((*after)->config().fp8_block == std::array{128, 128});
  CHECK((*after)->config().routed_scaling == 16.0F);
  CHECK(report->bytes_before == (*before)->bytes());
  CHECK(report->bytes_after == (*after)->bytes());

  ModelWeights old_weights = (*before)->weights();
  ModelWeights new_weights = (*after)->weights();
  const auto old_slots = weight_slots((*before)->config(), old_weights);
  const auto new_slots = weight_slots((*after)->config(), new_weights);
  size_t quantized = 0;
  for (size_t i = 0; i < old_slots.size(); ++i) {
    if (old_slots[i].matrix == nullptr) {
      CHECK(to_float(*old_slots[i].vector) == to_float(*new_slots[i].vector));
      continue;
    }
    const double difference =
        relative_difference(values_of(*old_slots[i].matrix), values_of(*new_slots[i].matrix));
    if (old_slots[i].spec.role != TensorRole::linear) {
      CHECK(difference == 0.0);
      CHECK(new_slots[i].matrix->dtype == old_slots[i].matrix->dtype);
      continue;
    }
    const QuantizationError& error = report->errors[quantized++];
    INFO(error.tensor);
    CHECK(error.tensor == old_slots[i].spec.name);
    CHECK(new_slots[i].matrix->dtype == DType::f8_e4m3);
    // Three mantissa bits: at most 1/16 off each value, some 2.6 % in the mean of a normal.
    CHECK(difference == Approx(error.relative).epsilon(1e-3));
    CHECK(error.relative > 0.02);
    CHECK(error.relative < 0.032);
    CHECK(error.largest < 1.0 / 16.0);
  }
  CHECK(quantized == report->errors.size());
}

TEST_CASE("the largest value of every block survives exactly up to rounding of the scale") {
  const WrittenModel source;
  const TemporaryFolder folder;
  REQUIRE(quantize_model(source.path(), folder.path() / "q", {}));
  const auto after = Checkpoint::open(folder.path() / "q");
  REQUIRE(after);
  const MatrixView& down = (*after)->weights().layers[0].dense.down;  // 320 x 448, ragged
  REQUIRE(down.block_rows == 128);
  for (std::int64_t block = 0; block < 3 * 4; ++block) {
    int largest = 0;
    for (std::int64_t r = block / 4 * 128; r < std::min<std::int64_t>(block / 4 * 128 + 128, 320);
         ++r) {
      for (std::int64_t c = block % 4 * 128; c < std::min<std::int64_t>(block % 4 * 128 + 128, 448);
           ++c) {
        largest = std::max(largest, std::to_integer<int>(down.data[r * 448 + c]) & 0x7f);
      }
    }
    CHECK(largest == 0x7e);  // 448
  }
}

TEST_CASE("tokenizer files and unknown config fields come along") {
  WrittenModel source;
  source.edit_json("config.json", [](json& config) { config["auto_map"] = {{"a", "b"}}; });
  write_file(source.path() / "tokenizer.json", "{}");
  write_file(source.path() / "chat_template.jinja", "x");
  const TemporaryFolder folder;
  const auto report = quantize_model(source.path(), folder.path() / "q", {});
  REQUIRE(report);
  CHECK(report->copied_files == std::vector<std::string>{"tokenizer.json", "chat_template.jinja"});
  CHECK(test::read_file(folder.path() / "q" / "tokenizer.json") == "{}");
  CHECK(test::read_file(folder.path() / "q" / "chat_template.jinja") == "x");
  const json config = json::parse(test::read_file(folder.path() / "q" / "config.json"));
  CHECK(config["auto_map"]["a"] == "b");
  CHECK(config["quantization_config"]["weight_block_size"] == json({128, 128}));
}

TEST_CASE("what cannot be quantized is refused and leaves nothing behind") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "q";
  const auto message = [&](const std::filesystem::path& source, const QuantizeOptions& options) {
    const auto report = quantize_model(source, target, options);
    return report ? "quantized" : report.error().message;
  };
  CHECK(message("models/tiny", {}).find("is FP8 already") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(target));

  WrittenModel poisoned;
  poisoned.edit_tensors([](json& header, std::string& data) {
    const auto at =
        header["model.layers.1.self_attn.o_proj.weight"]["data_offsets"][0].get<size_t>();
    data[at] = '\xc0';  // NaN
    data[at + 1] = '\x7f';
  });
  CHECK(message(poisoned.path(), {}).find("o_proj.weight\" holds values that are not finite") !=
        std::string::npos);
  CHECK(std::filesystem::is_empty(target));

  const WrittenModel source;
  CHECK(message(source.path(), {}) == "quantized");
  CHECK(message(source.path(), {}).find("exists already") != std::string::npos);

  std::filesystem::remove_all(target);
  std::stop_source stop;
  QuantizeOptions options;
  options.stop = stop.get_token();
  options.progress = [&](double) { stop.request_stop(); };
  CHECK(message(source.path(), options) == "the operation was cancelled.");
  CHECK(std::filesystem::is_empty(target));
}

TEST_CASE("a block of zeros stays zero") {
  WrittenModel source;
  source.edit_tensors([](json& header, std::string& data) {
    const auto& range = header["model.layers.1.self_attn.o_proj.weight"]["data_offsets"];
    const auto first = data.begin() + range[0].get<std::ptrdiff_t>();
    std::fill(first, data.begin() + range[1].get<std::ptrdiff_t>(), '\0');
  });
  const TemporaryFolder folder;
  REQUIRE(quantize_model(source.path(), folder.path() / "q", {}));
  const auto after = Checkpoint::open(folder.path() / "q");
  REQUIRE(after);
  for (const float value : values_of((*after)->weights().layers[1].attention.o)) {
    REQUIRE(value == 0.0F);
  }
}
