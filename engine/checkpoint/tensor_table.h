// Every tensor of a model folder by name, whether the folder holds one safetensors file or shards
// with an index. Knows nothing of the architecture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/weights.h"
#include "support/result.h"

namespace caretd::engine {

inline constexpr const char* kSingleFileName = "model.safetensors";
inline constexpr const char* kIndexFileName = "model.safetensors.index.json";

/// A tensor in a mapped file; the bytes belong to the TensorTable and may have any alignment.
struct Tensor {
  std::string name;
  std::string file;            ///< file name inside the folder
  std::string dtype_name;      ///< as the file writes it
  std::optional<DType> dtype;  ///< empty: a type that model weights may not have (I64, ...)
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  [[nodiscard]] std::int64_t elements() const;
};

/// Maps the files of a folder. Immutable after open(), movable; tensors() and the pointers that
/// find() returns stay valid when the table is moved.
class TensorTable {
 public:
  /// The Error names the file, the tensor and the reason. Reads headers only.
  [[nodiscard]] static Result<TensorTable> open(const std::filesystem::path& folder);

  /// Null where the folder has no such tensor.
  [[nodiscard]] const Tensor* find(std::string_view name) const;
  /// File by file, in the order of their bytes.
  [[nodiscard]] std::span<const Tensor> tensors() const { return tensors_; }
  /// The files that hold tensors, by name, sorted.
  [[nodiscard]] const std::vector<std::string>& files() const { return files_; }
  /// Bytes of all tensors.
  [[nodiscard]] std::int64_t bytes() const;
  /// An Error that names the file if one was shortened under what was read from it so far.
  [[nodiscard]] Result<void> check_intact() const;
  /// Gives the memory of mapped bytes back to the system; they are read from the file again when
  /// touched. No effect on bytes that do not lie in one of the files. Thread-safe.
  void release(std::span<const std::byte> bytes) const;

 private:
  TensorTable() = default;
  Result<void> add_file(const std::filesystem::path& folder, const std::string& name);
  Result<void> add_shards(const std::filesystem::path& folder);
  Result<void> index_names();

  std::vector<MappedFile> mappings_;
  std::vector<std::string> files_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;  ///< keys point into tensors_
};

/// Reads and checks model.safetensors.index.json: tensor name -> file name. File names that are
/// not plain names inside the folder are refused.
[[nodiscard]] Result<std::unordered_map<std::string, std::string>> parse_shard_index(
    const std::string& json);

}  // namespace caretd::engine
