// A written checkpoint for tests that then break or inspect it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/checkpoint_writer.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/shapes.h"
#include "tests/engine/checkpoint/safetensors_builder.h"
#include "tests/helpers/catch.h"
#include "tests/helpers/temporary_folder.h"

namespace caretd::test {

/// A matrix that every written model has.
inline constexpr const char* kQ = "model.layers.1.self_attn.q_proj.weight";

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A written checkpoint of one small shape, to be broken.
class WrittenModel {
 public:
  explicit WrittenModel(engine::WeightFormat format = engine::WeightFormat::bf16,
                        std::int64_t shard_bytes = 1LL << 40, const char* shape = "small")
      : WrittenModel(*engine::shape_by_name(shape), format, shard_bytes) {}
  WrittenModel(const engine::ModelConfig& config, engine::WeightFormat format,
               std::int64_t shard_bytes = 1LL << 40) {
    REQUIRE(
        engine::write_checkpoint(path(), config, {.format = format, .shard_bytes = shard_bytes}));
  }
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

  /// Lets `edit` change the parsed header and the data of one file.
  template <typename Edit>
  void edit_tensors(const Edit& edit, const std::string& file = "model.safetensors") {
    const std::string whole = read_file(path() / file);
    const auto sections = engine::split_safetensors(std::as_bytes(std::span(whole)));
    nlohmann::json header = nlohmann::json::parse(sections->header);
    std::string data(reinterpret_cast<const char*>(sections->data.data()), sections->data.size());
    edit(header, data);
    write_file(path() / file, with_length(header.dump()) + data);
  }
  /// Appends a tensor of `bytes` to the only file.
  void append(const std::string& name, const std::string& dtype,
              const std::vector<std::int64_t>& shape, const std::string& bytes) {
    edit_tensors([&](nlohmann::json& header, std::string& data) {
      header[name] = {{"dtype", dtype},
                      {"shape", shape},
                      {"data_offsets", {data.size(), data.size() + bytes.size()}}};
      data += bytes;
    });
  }
  /// Renames a tensor and so makes the old name disappear.
  void rename(const std::string& from, const std::string& to) {
    edit_tensors([&](nlohmann::json& header, std::string&) {
      header[to] = header.at(from);
      header.erase(from);
    });
  }
  template <typename Edit>
  void edit_json(const std::string& file, const Edit& edit) {
    nlohmann::json document = nlohmann::json::parse(read_file(path() / file));
    edit(document);
    write_file(path() / file, document.dump());
  }

  /// Name of the shard with this number, counted from 1.
  [[nodiscard]] std::string shard(int number) const {
    const std::string start = "model-0000" + std::to_string(number) + "-of-";
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      const std::string name = entry.path().filename();
      if (name.starts_with(start)) return name;
    }
    FAIL("the model has no shard " << number);
    return {};
  }

  /// What open() says, with the folder's changing name taken out; "opens" where it opens.
  [[nodiscard]] std::string message() const {
    const auto opened = engine::Checkpoint::open(path());
    if (opened) return "opens";
    std::string text = opened.error().message;
    const std::string folder = path().string();
    for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder)) {
      text.replace(at, folder.size(), "DIR");
    }
    return text;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace caretd::test
