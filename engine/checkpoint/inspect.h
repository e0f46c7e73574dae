// What a model folder holds, for people: the library behind `caretd models inspect`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "support/result.h"

namespace caretd::engine {

/// All tensors of one type.
struct DTypeShare {
  std::string dtype;  ///< as the files write it
  std::int64_t tensors = 0;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};

struct ModelFile {
  std::string name;
  std::int64_t tensors = 0;
  std::int64_t bytes = 0;  ///< size on disk
};

struct ModelSummary {
  std::filesystem::path folder;
  ModelConfig config;
  std::string weight_format;    ///< "BF16", "FP8 block-wise (128 x 128)", "FP8 per tensor", ...
  std::int64_t parameters = 0;  ///< weights; FP8 scales are not counted
  std::int64_t active_parameters = 0;   ///< read for one token
  std::int64_t tensor_bytes = 0;        ///< of all tensors, scales included
  std::int64_t kv_bytes_per_token = 0;  ///< of the KV cache in BF16, all layers
  std::vector<DTypeShare> dtypes;       ///< most bytes first
  std::vector<ModelFile> files;         ///< by name
};

/// Opens the folder as an engine would (every header, shape and dtype is checked) and sums up.
/// Reads no weights.
[[nodiscard]] Result<ModelSummary> summarize_model(const std::filesystem::path& folder);

}  // namespace caretd::engine
