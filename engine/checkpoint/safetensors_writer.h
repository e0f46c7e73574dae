// Writes safetensors files whose tensors are known in advance and filled in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/weights.h"
#include "support/result.h"

namespace caretd::engine {

struct OutputTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;

  [[nodiscard]] std::int64_t bytes() const;
};

/// Where a tensor of the list given to plan_shards() ends up.
struct TensorPlace {
  size_t shard = 0;
  std::int64_t offset = 0;  ///< of its first byte in the file
};

/// File names, headers and offsets of a checkpoint, before a byte of it is written.
struct ShardPlan {
  struct Shard {
    std::string file;        ///< model.safetensors, or model-00001-of-00007.safetensors
    std::string header;      ///< the length field and the padded JSON
    std::int64_t bytes = 0;  ///< of the whole file
  };
  std::vector<Shard> shards;
  std::vector<TensorPlace> places;  ///< in the order of the tensors given
  std::string index;                ///< text of model.safetensors.index.json; empty for one file

  [[nodiscard]] std::int64_t bytes() const;
};

/// Fills shards in the given order up to `shard_bytes` of tensors each (a larger tensor gets a
/// shard of its own). Inside a shard wide elements come first, so that all of them are aligned.
[[nodiscard]] ShardPlan plan_shards(std::span<const OutputTensor> tensors,
                                    std::int64_t shard_bytes);

/// A file of known size that is written piecewise. Movable. write() is thread-safe.
class OutputFile {
 public:
  /// Creates the file; one that exists already is an error.
  [[nodiscard]] static Result<OutputFile> create(const std::filesystem::path& file,
                                                 std::int64_t bytes);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  [[nodiscard]] Result<void> write(std::int64_t offset, std::span<const std::byte> bytes) const;
  /// Reports errors that the operating system held back.
  [[nodiscard]] Result<void> close();

 private:
  OutputFile(std::filesystem::path file, int descriptor)
      : file_(std::move(file)), descriptor_(descriptor) {}
  std::filesystem::path file_;
  int descriptor_ = -1;
};

/// The files of one new checkpoint in a folder. Unless finish() succeeds, the destructor removes
/// what was written: a folder never keeps half a model.
class CheckpointFolder {
 public:
  /// Creates the folder where needed. Refuses a folder that holds a model already, and a disk
  /// with too little space.
  [[nodiscard]] static Result<CheckpointFolder> create(std::filesystem::path folder,
                                                       ShardPlan plan);
  CheckpointFolder(CheckpointFolder&&) = default;
  CheckpointFolder& operator=(CheckpointFolder&&) = delete;
  ~CheckpointFolder();

  /// Writes `bytes` at `offset` inside tensor number `tensor` of the plan. Thread-safe.
  [[nodiscard]] Result<void> write(size_t tensor, std::int64_t offset,
                                   std::span<const std::byte> bytes) const;
  /// Copies a file from elsewhere (a tokenizer); one that is in the folder already stays.
  [[nodiscard]] Result<void> take_along(const std::filesystem::path& file);
  /// Closes the shards, then writes index and config.json, which make the folder a model.
  [[nodiscard]] Result<void> finish(const std::string& config_json);

 private:
  CheckpointFolder(std::filesystem::path folder, ShardPlan plan)
      : folder_(std::move(folder)), plan_(std::move(plan)) {}

  std::filesystem::path folder_;
  ShardPlan plan_;
  std::vector<OutputFile> files_;
  std::vector<std::filesystem::path> created_;  ///< to remove unless finished
};

}  // namespace caretd::engine
