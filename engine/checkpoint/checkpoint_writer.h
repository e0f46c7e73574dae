// Real checkpoints of random weights: for load tests, and for parity tests of every feature.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

#include "engine/checkpoint/model_config.h"
#include "support/result.h"

namespace caretd::engine {

/// How the projections are stored. In both FP8 formats embedding, head, norms and routers are
/// BF16, as in published FP8 checkpoints.
enum class WeightFormat : std::uint8_t {
  bf16,
  f32,
  fp8_block,   ///< F8_E4M3 with weight_scale_inv for blocks of 128 x 128
  fp8_tensor,  ///< F8_E4M3 with one weight_scale a matrix
};
/// "bf16", "f32", "fp8" (block-wise), "fp8-tensor".
[[nodiscard]] std::string_view to_string(WeightFormat format);
[[nodiscard]] std::optional<WeightFormat> weight_format_by_name(std::string_view name);

struct CheckpointWriteOptions {
  std::uint64_t seed = 0;
  WeightFormat format = WeightFormat::bf16;
  std::int64_t shard_bytes = 5'000'000'000;
  int threads = 0;                       ///< 0: as many as the machine has cores
  std::function<void(double)> progress;  ///< share done in 0..1; one call at a time, any thread
  std::stop_token stop;
};

/// Writes shards, index and config.json (no tokenizer) into `folder`, which must not hold a model
/// yet; on failure or stop what was written is removed. Memory stays at a few MiB a thread.
///
/// Matrices are normal with standard deviation 1 / sqrt(columns), which keeps activations near
/// one; norm weights are normal around 1 with deviation 0.1; FP8 scales differ from block to block
/// by a factor of up to 3, so that a wrong block shows. A tensor's values depend on the seed, its
/// name and the format alone, not on threads, shards or the other tensors.
[[nodiscard]] Result<void> write_checkpoint(const std::filesystem::path& folder,
                                            const ModelConfig& config,
                                            const CheckpointWriteOptions& options);

}  // namespace caretd::engine
