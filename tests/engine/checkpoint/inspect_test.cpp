#include "engine/checkpoint/inspect.h"

#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::WrittenModel;

TEST_CASE("the embedded model is summed up") {
  const auto summary = summarize_model("models/tiny");
  REQUIRE(summary);
  CHECK(summary->parameters == 28755328);
  CHECK(summary->active_parameters == 18433408);
  CHECK(summary->weight_format == "FP8 block-wise (128 x 128)");
  CHECK(summary->tensor_bytes == 33530456);
  CHECK(summary->kv_bytes_per_token == 8 * 160 * 2);
  REQUIRE(summary->files.size() == 1);
  CHECK(summary->files[0].name == "model.safetensors");
  CHECK(summary->files[0].bytes == 33626128);
  REQUIRE(summary->dtypes.size() == 3);
  CHECK(summary->dtypes[0].dtype == "F8_E4M3");
  CHECK(summary->dtypes[1].dtype == "BF16");
  CHECK(summary->dtypes[2].dtype == "F32");
  CHECK(summary->dtypes[0].elements + summary->dtypes[1].elements == 28755328);
}

TEST_CASE("formats are named and shards listed") {
  const WrittenModel bf16(WeightFormat::bf16, 1 << 20);
  const auto summary = summarize_model(bf16.path());
  REQUIRE(summary);
  CHECK(summary->weight_format == "BF16");
  CHECK(summary->files.size() > 2);
  std::int64_t tensors = 0;
  for (const ModelFile& file : summary->files) tensors += file.tensors;
  CHECK(tensors == summary->dtypes[0].tensors);

  const WrittenModel per_tensor(WeightFormat::fp8_tensor);
  CHECK(summarize_model(per_tensor.path())->weight_format == "FP8 per tensor");
}

TEST_CASE("the published Lite shape needs 31,104 bytes of KV cache a token") {
  const ModelConfig lite = *shape_by_name("lite");
  CHECK(lite.layers * lite.kv_width() * 2 == 31104);
}

TEST_CASE("a broken folder gives the error of opening it") {
  const auto summary = summarize_model("tests");
  REQUIRE_FALSE(summary);
  CHECK(summary.error().message ==
        "tests/config.json: cannot be opened: No such file or directory.");
}
