#include "engine/checkpoint/checkpoint_writer.h"

#include <cmath>
#include <map>

#include "engine/checkpoint/weight_layout.h"
#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::TemporaryFolder;

namespace {

struct Moments {
  double mean = 0.0;
  double deviation = 0.0;
};

Moments moments_of(const MatrixView& matrix) {
  std::vector<float> row(static_cast<size_t>(matrix.cols));
  double sum = 0.0;
  double squares = 0.0;
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    dequantize_row(matrix, r, row);
    for (const float value : row) {
      sum += value;
      squares += double{value} * value;
    }
  }
  const auto count = static_cast<double>(matrix.rows * matrix.cols);
  return {sum / count, std::sqrt(squares / count - sum / count * sum / count)};
}

std::map<std::string, std::string> read_folder(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files[entry.path().filename()] = test::read_file(entry.path());
  }
  return files;
}

std::shared_ptr<const Checkpoint> write_and_open(const std::filesystem::path& folder,
                                                 const ModelConfig& config,
                                                 const CheckpointWriteOptions& options) {
  const auto written = write_checkpoint(folder, config, options);
  INFO((written ? std::string() : written.error().message));
  REQUIRE(written);
  auto opened = Checkpoint::open(folder);
  INFO((opened ? std::string() : opened.error().message));
  REQUIRE(opened);
  return *opened;
}

}  // namespace

TEST_CASE("every small shape is written in every format and opens again") {
  for (const NamedShape& shape : named_shapes()) {
    if (!shape.name.starts_with("small")) continue;
    for (const auto format : {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8_block,
                              WeightFormat::fp8_tensor}) {
      INFO(shape.name << " " << to_string(format));
      const TemporaryFolder folder;
      const ModelConfig config = *shape_by_name(shape.name);
      const auto checkpoint = write_and_open(folder.path(), config, {.format = format});
      const ModelConfig& read = checkpoint->config();
      CHECK(read.q_lora_rank == config.q_lora_rank);
      CHECK(read.routing == config.routing);
      CHECK(read.expert_groups == config.expert_groups);
      CHECK(read.groups_per_token == config.groups_per_token);
      CHECK(read.routed_scaling == config.routed_scaling);
      CHECK(read.normalize_topk == config.normalize_topk);
      CHECK(read.tied_embeddings == config.tied_embeddings);
      CHECK(read.rope_scaling.factor == config.rope_scaling.factor);
      CHECK(read.parameters() == config.parameters());
      CHECK(read.softmax_scale() == config.softmax_scale());
    }
  }
}

TEST_CASE("random weights have the promised distribution in every format") {
  for (const auto format :
       {WeightFormat::bf16, WeightFormat::f32, WeightFormat::fp8_block, WeightFormat::fp8_tensor}) {
    INFO(to_string(format));
    const TemporaryFolder folder;
    const auto checkpoint =
        write_and_open(folder.path(), *shape_by_name("small"), {.seed = 3, .format = format});
    const LayerWeights& layer = checkpoint->weights().layers[1];
    const Moments moments = moments_of(layer.attention.q);
    const double expected = 1.0 / std::sqrt(320.0);
    CHECK(std::abs(moments.mean) < 0.02 * expected);
    // One scale for a whole matrix lies anywhere between 0.5 and 1.5 of the nominal one.
    if (format == WeightFormat::fp8_tensor) {
      CHECK(moments.deviation > 0.45 * expected);
      CHECK(moments.deviation < 1.55 * expected);
    } else {
      CHECK(moments.deviation == Approx(expected).epsilon(0.2));
    }
    double sum = 0.0;
    for (const float value : to_float(layer.ffn_norm)) sum += value;
    CHECK(sum / 320.0 == Approx(1.0).epsilon(0.03));
  }
}

TEST_CASE("block-wise scales differ from block to block, ragged blocks included") {
  const TemporaryFolder folder;
  const auto checkpoint =
      write_and_open(folder.path(), *shape_by_name("small"), {.format = WeightFormat::fp8_block});
  const MatrixView& down = checkpoint->weights().layers[0].dense.down;  // 320 x 448
  REQUIRE(down.scale_cols() == 4);
  for (int block = 1; block < 12; ++block) CHECK(down.scales[block] != down.scales[block - 1]);
}

TEST_CASE("the same seed gives the same bytes whatever the threads; another seed does not") {
  const ModelConfig config = *shape_by_name("small-full");
  const TemporaryFolder one;
  const TemporaryFolder two;
  const TemporaryFolder other;
  REQUIRE(write_checkpoint(one.path(), config, {.seed = 11, .threads = 1}));
  REQUIRE(write_checkpoint(two.path(), config, {.seed = 11, .threads = 4}));
  REQUIRE(write_checkpoint(other.path(), config, {.seed = 12}));
  CHECK(read_folder(one.path()) == read_folder(two.path()));
  CHECK(read_folder(one.path()) != read_folder(other.path()));
}

TEST_CASE("values do not depend on how the tensors are sharded") {
  const ModelConfig config = *shape_by_name("small");
  const TemporaryFolder whole;
  const TemporaryFolder sharded;
  const auto a = write_and_open(whole.path(), config, {.seed = 5});
  const auto b = write_and_open(sharded.path(), config, {.seed = 5, .shard_bytes = 1 << 20});
  CHECK(std::filesystem::exists(sharded.path() / "model.safetensors.index.json"));
  CHECK(read_folder(sharded.path()).size() > 4);  // config, index and several shards
  ModelWeights from_whole = a->weights();
  ModelWeights from_shards = b->weights();
  const auto slots_a = weight_slots(a->config(), from_whole);
  const auto slots_b = weight_slots(b->config(), from_shards);
  REQUIRE(slots_a.size() == slots_b.size());
  for (size_t i = 0; i < slots_a.size(); ++i) {
    if (slots_a[i].matrix == nullptr) continue;
    const MatrixView& left = *slots_a[i].matrix;
    const MatrixView& right = *slots_b[i].matrix;
    INFO(left.name);
    CHECK(std::equal(left.data, left.data + left.bytes(), right.data));
  }
}

TEST_CASE("a folder that holds a model is not overwritten") {
  const TemporaryFolder folder;
  const ModelConfig config = *shape_by_name("small-dense");
  REQUIRE(write_checkpoint(folder.path(), config, {}));
  const auto before = read_folder(folder.path());
  const auto again = write_checkpoint(folder.path(), config, {.seed = 1});
  REQUIRE_FALSE(again);
  CHECK(again.error().message.find("exists already") != std::string::npos);
  CHECK(read_folder(folder.path()) == before);
}

TEST_CASE("a stopped write leaves nothing behind") {
  const TemporaryFolder folder;
  std::stop_source stop;
  CheckpointWriteOptions options;
  options.stop = stop.get_token();
  options.progress = [&](double) { stop.request_stop(); };
  const auto written = write_checkpoint(folder.path(), *shape_by_name("small"), options);
  REQUIRE_FALSE(written);
  CHECK(written.error().kind == ErrorKind::cancelled);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("progress rises to one") {
  const TemporaryFolder folder;
  double last = 0.0;
  bool rising = true;
  CheckpointWriteOptions options;
  options.progress = [&](double share) {
    rising = rising && share > last;
    last = share;
  };
  REQUIRE(write_checkpoint(folder.path(), *shape_by_name("small"), options));
  CHECK(rising);
  CHECK(last == 1.0);
}

TEST_CASE("shapes are found by name and take a layer count") {
  CHECK(shape_by_name("lite")->parameters() == 15706484224);
  CHECK(shape_by_name("full")->parameters() == 235741434880);
  CHECK(shape_by_name("tiny")->parameters() == 28755328);
  CHECK(shape_by_name("lite", 4)->layers == 4);
  const auto unknown = shape_by_name("huge");
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message.find("lite, full, tiny") != std::string::npos);
}
