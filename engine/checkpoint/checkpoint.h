// A model folder on disk: config.json, safetensors (one file or shards), mapped read-only.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weights.h"
#include "support/result.h"

namespace caretd::engine {

/// An Error where there is nothing, or a file instead of a folder: what users of other formats
/// name.
[[nodiscard]] Result<void> check_model_folder(const std::filesystem::path& folder);

/// An opened model folder. Owns the file mappings that every view in weights() points into.
/// Immutable and thread-safe after open(). Bytes of a file that somebody cuts off while it is
/// mapped read as zeros; check_intact() tells.
class Checkpoint {
 public:
  /// Maps the files and validates every header, offset, shape and dtype against config.json.
  /// The Error names file, tensor and reason. Does not read the weights themselves (scales that are
  /// not F32 and tensors that are not aligned to their element size are copied).
  [[nodiscard]] static Result<std::shared_ptr<const Checkpoint>> open(
      const std::filesystem::path& folder);
  ~Checkpoint();
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const;
  [[nodiscard]] const ModelConfig& config() const;
  [[nodiscard]] const ModelWeights& weights() const;
  /// Bytes of all tensors.
  [[nodiscard]] std::int64_t bytes() const;
  /// For whoever has read weights, before they are used: an Error if a file was shortened
  /// meanwhile.
  [[nodiscard]] Result<void> check_intact() const;
  /// Gives the memory of a view's bytes back to the system, for loaders that have copied them; they
  /// are read from the file again when touched. Thread-safe.
  void release(std::span<const std::byte> bytes) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace caretd::engine
