// From BF16 (or F16, F32) to block-wise FP8: the library behind `caretd models quantize`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "support/result.h"

namespace caretd::engine {

/// How far a quantized matrix Q is from its original W.
struct QuantizationError {
  std::string tensor;
  double relative = 0.0;  ///< Frobenius norms: ||W - Q|| / ||W||; 0 where W is zero
  double largest = 0.0;   ///< max |W - Q| / max |W|
};

struct QuantizeReport {
  std::vector<QuantizationError> errors;  ///< one for each quantized matrix, in model order
  std::int64_t bytes_before = 0;          ///< of all tensors
  std::int64_t bytes_after = 0;           ///< of all tensors, scales included
  std::vector<std::string> copied_files;  ///< tokenizer and the like, taken along
};

struct QuantizeOptions {
  std::int64_t shard_bytes = 5'000'000'000;
  int threads = 0;                       ///< 0: as many as the machine has cores
  std::function<void(double)> progress;  ///< share done in 0..1; one call at a time, any thread
  std::stop_token stop;
};

/// Writes `source` with its projections in F8_E4M3 and one scale for each block of 128 x 128
/// (weight_scale_inv, the largest magnitude of the block mapped to 448) into the new folder
/// `target`; embedding, head, norms and routers keep their type, tokenizer files are copied.
/// Streams: memory stays at one band of 128 rows a thread. On failure or stop, what was written is
/// removed. Refuses models that are FP8 already and weights that are not finite.
[[nodiscard]] Result<QuantizeReport> quantize_model(const std::filesystem::path& source,
                                                    const std::filesystem::path& target,
                                                    const QuantizeOptions& options);

}  // namespace caretd::engine
