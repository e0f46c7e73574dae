// A model folder that is wrong in one place: Checkpoint::open() must say which file, which tensor
// and why.
#include "engine/checkpoint/check_model.h"
#include "tests/engine/checkpoint/written_model.h"

using namespace caretd;
using namespace caretd::engine;
using caretd::test::kQ;
using caretd::test::read_file;
using caretd::test::TemporaryFolder;
using caretd::test::write_file;
using caretd::test::WrittenModel;
using nlohmann::json;

TEST_CASE("a folder without a model says what is missing") {
  const TemporaryFolder folder;
  CHECK(Checkpoint::open(folder.path() / "absent").error().kind == ErrorKind::not_found);
  const WrittenModel model;
  std::filesystem::remove(model.path() / "model.safetensors");
  CHECK(model.message() ==
        "DIR: has neither model.safetensors nor model.safetensors.index.json; caretd reads models "
        "in the safetensors format.");
}

TEST_CASE("a file in place of a folder is named with what a model is") {
  const WrittenModel model;
  const auto config = model.path() / "config.json";
  const std::string folder =
      ": is a file; a model is a folder with config.json, tokenizer.json and ";
  CHECK(Checkpoint::open(config).error().message ==
        config.string() + folder + "safetensors files.");
  CHECK(check_model(config, {}).error().message == config.string() + folder + "safetensors files.");
  const auto gguf = model.path() / "lite.Q4_K_M.gguf";
  write_file(gguf, "GGUF");
  CHECK(Checkpoint::open(gguf).error().message ==
        gguf.string() + folder + "safetensors files, GGUF is not read.");
}

TEST_CASE("a file that is no regular file is refused without waiting for it") {
  const WrittenModel model;
  std::filesystem::remove(model.path() / "model.safetensors");
  std::filesystem::create_directory(model.path() / "model.safetensors");
  CHECK(model.message() == "DIR/model.safetensors: is not a regular file.");
}

TEST_CASE("truncation anywhere is noticed at open") {
  const WrittenModel model;
  const std::string whole = read_file(model.path() / "model.safetensors");
  const std::vector<size_t> sizes{0, 7, 8, 100, whole.size() / 2, whole.size() - 1};
  for (const size_t size : sizes) {
    write_file(model.path() / "model.safetensors", std::string_view(whole).substr(0, size));
    INFO(size);
    const std::string message = model.message();
    CHECK(message.starts_with("DIR/model.safetensors: "));
    CHECK(message.ends_with("."));
  }
}

TEST_CASE("a missing, misnamed or superfluous tensor is named") {
  WrittenModel missing;
  missing.rename(kQ, "model.layers.1.self_attn.q_projection.weight");
  CHECK(missing.message() ==
        "DIR: tensor \"model.layers.1.self_attn.q_proj.weight\" is missing; config.json asks for "
        "it.");

  WrittenModel bias;
  bias.append("model.layers.1.self_attn.o_proj.bias", "BF16", {1}, "ab");
  CHECK(bias.message() ==
        "DIR: model.safetensors: tensor \"model.layers.1.self_attn.o_proj.bias\" is not part of "
        "the architecture that config.json describes.");

  WrittenModel fewer_layers;
  fewer_layers.edit_json("config.json", [](json& config) { config["num_hidden_layers"] = 2; });
  CHECK(fewer_layers.message().find("model.layers.2.") != std::string::npos);
}

TEST_CASE("a shape that contradicts the config is named with both shapes") {
  WrittenModel model;
  model.edit_json("config.json", [](json& config) {
    config["num_attention_heads"] = 5;
    config["num_key_value_heads"] = 5;
  });
  CHECK(model.message() ==
        "DIR: model.safetensors: tensor \"model.layers.0.self_attn.q_proj.weight\" has the shape "
        "[384, 320] where config.json needs [480, 320].");
}

TEST_CASE("a dtype that weights may not have is named") {
  WrittenModel integer;
  integer.edit_tensors([](json& header, std::string&) { header[kQ]["dtype"] = "I16"; });
  CHECK(integer.message() ==
        std::string("DIR: model.safetensors: tensor \"") + kQ +
            "\" has the dtype I16, which is none of BF16, F16, F32 and F8_E4M3.");

  WrittenModel norm;
  norm.edit_tensors(
      [](json& header, std::string&) { header["model.norm.weight"]["dtype"] = "F8_E5M2"; });
  CHECK(norm.message().find("tensor \"model.norm.weight\" has 640 bytes") != std::string::npos);
}

TEST_CASE("FP8 weights need scales that fit") {
  const std::string scale = std::string(kQ) + "_scale_inv";

  WrittenModel without;
  without.edit_tensors([](json& header, std::string& data) {
    // The same bytes as FP8 need two values each: halve the claim and fill the hole.
    auto& entry = header[kQ];
    const auto begin = entry["data_offsets"][0].get<std::int64_t>();
    const auto end = entry["data_offsets"][1].get<std::int64_t>();
    entry["dtype"] = "F8_E4M3";
    entry["data_offsets"][1] = (begin + end) / 2;
    header["filler.input_scale"] = {{"dtype", "U8"},
                                    {"shape", {(end - begin) / 2}},
                                    {"data_offsets", {(begin + end) / 2, end}}};
    CHECK(static_cast<std::int64_t>(data.size()) >= end);
  });
  CHECK(without.message() == std::string("DIR: model.safetensors: tensor \"") + kQ +
                                 "\" is F8_E4M3 but has neither a weight_scale_inv nor a "
                                 "weight_scale.");

  WrittenModel wrong_shape(
      WeightFormat::fp8_block);  // 384 x 320: 3 x 3 blocks, the last column ragged
  wrong_shape.edit_tensors([&](json& header, std::string&) { header[scale]["shape"] = {9, 1}; });
  CHECK(wrong_shape.message() == "DIR: model.safetensors: tensor \"" + scale +
                                     "\" has the shape [9, 1] where blocks of 128 x 128 need "
                                     "[3, 3].");

  WrittenModel other_block(WeightFormat::fp8_block);
  other_block.edit_json("config.json", [](json& config) {
    config["quantization_config"]["weight_block_size"] = {64, 128};
  });
  CHECK(other_block.message().find("where blocks of 64 x 128 need") != std::string::npos);

  WrittenModel unannounced(WeightFormat::fp8_block);
  unannounced.edit_json("config.json", [](json& config) { config.erase("quantization_config"); });
  CHECK(unannounced.message().find("announces no weight_block_size") != std::string::npos);

  WrittenModel both(WeightFormat::fp8_block);
  both.append(std::string(kQ) + "_scale", "F32", {}, "1234");
  CHECK(both.message().find("has both a weight_scale_inv and a weight_scale") != std::string::npos);

  WrittenModel scaled_bf16;
  scaled_bf16.append(std::string(kQ) + "_scale", "F32", {}, "1234");
  CHECK(scaled_bf16.message().find("scales a weight that is BF16") != std::string::npos);

  WrittenModel bad_type(WeightFormat::fp8_tensor);
  bad_type.edit_tensors(
      [](json& header, std::string&) { header[std::string(kQ) + "_scale"]["dtype"] = "I32"; });
  CHECK(bad_type.message().find("has the dtype I32 where F32 is expected") != std::string::npos);
}

TEST_CASE("tensors that inference does not read are ignored") {
  WrittenModel model(WeightFormat::fp8_tensor);
  model.append("model.layers.1.self_attn.q_proj.input_scale", "F32", {}, "1234");
  model.append("model.layers.1.self_attn.rotary_emb.inv_freq", "F32", {1}, "1234");
  CHECK(model.message() == "opens");
}

TEST_CASE("the head is tied when it is absent or the config says so") {
  WrittenModel said;
  said.edit_json("config.json", [](json& config) { config["tie_word_embeddings"] = true; });
  const auto tied = Checkpoint::open(said.path());
  REQUIRE(tied);
  CHECK((*tied)->config().tied_embeddings);
  CHECK((*tied)->weights().head.data == (*tied)->weights().embedding.data);

  WrittenModel absent(WeightFormat::bf16, 1LL << 40, "small-tied");
  absent.edit_json("config.json", [](json& config) { config["tie_word_embeddings"] = false; });
  const auto without_head = Checkpoint::open(absent.path());
  REQUIRE(without_head);
  CHECK((*without_head)->config().tied_embeddings);

  const WrittenModel untied;
  const auto with_head = Checkpoint::open(untied.path());
  REQUIRE(with_head);
  CHECK_FALSE((*with_head)->config().tied_embeddings);
  CHECK((*with_head)->weights().head.data != (*with_head)->weights().embedding.data);
}

TEST_CASE("scales in BF16 and tensors off their alignment are read all the same") {
  WrittenModel model(WeightFormat::fp8_tensor);
  const std::string scale = std::string(kQ) + "_scale";
  float expected = 0.0F;
  {
    const auto before = Checkpoint::open(model.path());
    REQUIRE(before);
    const MatrixView& q = (*before)->weights().layers[1].attention.q;
    std::vector<float> row(320);
    dequantize_row(q, 7, row);
    expected = row[9] / *q.scales;
  }
  model.rename(scale, "old.input_scale");
  model.append("odd.input_scale", "U8", {1}, "x");
  model.append(scale, "BF16", {1}, std::string("\x80\x3f", 2));  // 1.0, at an odd offset
  const auto opened = Checkpoint::open(model.path());
  INFO(model.message());
  REQUIRE(opened);
  const MatrixView& q = (*opened)->weights().layers[1].attention.q;
  std::vector<float> row(320);
  dequantize_row(q, 7, row);
  CHECK(*q.scales == 1.0F);
  CHECK(row[9] == Approx(expected));
  CHECK(reinterpret_cast<std::uintptr_t>(q.scales) % alignof(float) == 0);
}

TEST_CASE("a whole file of misaligned tensors reads the same values") {
  const WrittenModel aligned;
  WrittenModel shifted;
  shifted.edit_tensors([](json& header, std::string& data) {
    for (auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      for (auto& offset : entry["data_offsets"]) offset = offset.get<std::int64_t>() + 1;
    }
    data.insert(data.begin(), 'x');
    header["first.input_scale"] = {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {0, 1}}};
  });
  const auto left = Checkpoint::open(aligned.path());
  const auto right = Checkpoint::open(shifted.path());
  REQUIRE(left);
  REQUIRE(right);
  const MatrixView& a = (*left)->weights().layers[2].experts[5].down;
  const MatrixView& b = (*right)->weights().layers[2].experts[5].down;
  CHECK(std::equal(a.data, a.data + a.bytes(), b.data));
  CHECK(reinterpret_cast<std::uintptr_t>(b.data) % 2 == 0);
}

TEST_CASE("an index that lies is refused") {
  const auto sharded = [] { return WrittenModel(WeightFormat::bf16, 1 << 20); };
  constexpr const char* kIndex = "model.safetensors.index.json";

  {
    const WrittenModel model = sharded();
    REQUIRE(model.message() == "opens");
    const std::string shard = model.shard(2);
    std::filesystem::remove(model.path() / shard);
    CHECK(model.message() == "DIR/" + shard + ": cannot be opened: No such file or directory.");
  }
  for (const char* path :
       {"../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "..\\x"}) {
    WrittenModel model = sharded();
    model.edit_json(kIndex, [&](json& index) { index["weight_map"][kQ] = path; });
    INFO(path);
    CHECK(model.message().find("which is not the name of a file in the model folder") !=
          std::string::npos);
  }
  {
    WrittenModel model = sharded();
    const std::string shard = model.shard(2);
    model.edit_json(kIndex, [&](json& index) { index["weight_map"]["ghost"] = shard; });
    CHECK(model.message() ==
          "DIR/" + shard + ": tensor \"ghost\" is missing although the index lists it here.");
  }
  {
    WrittenModel model = sharded();
    model.edit_json(kIndex, [](json& index) { index["weight_map"].erase(kQ); });
    CHECK(model.message().find("is here but the index does not say so") != std::string::npos);
  }
  {
    WrittenModel model = sharded();
    model.edit_json(kIndex, [](json& index) { index["weight_map"] = json::array(); });
    CHECK(model.message().find("has no weight_map") != std::string::npos);
  }
  {
    const WrittenModel model = sharded();
    write_file(model.path() / kIndex, R"({"weight_map": {"a": "x", "a": "y"}})");
    CHECK(model.message() == std::string("DIR/") + kIndex + ": has the key \"a\" twice.");
    write_file(model.path() / kIndex, "{");
    CHECK(model.message() == std::string("DIR/") + kIndex + ": is not valid JSON.");
  }
}

TEST_CASE("a tensor in two shards is refused") {
  const WrittenModel model(WeightFormat::bf16, 1 << 20);
  // Both shards hold the tensor; the index can only name one of them.
  write_file(model.path() / model.shard(1), read_file(model.path() / model.shard(2)));
  CHECK(model.message().find("is here but the index does not say so") != std::string::npos);
}

TEST_CASE("shards behind symbolic links open, as in a model hub's cache") {
  const WrittenModel model;
  const TemporaryFolder cache;
  for (const char* name : {"config.json", "model.safetensors"}) {
    std::filesystem::create_symlink(model.path() / name, cache.path() / name);
  }
  CHECK(Checkpoint::open(cache.path()));
}
