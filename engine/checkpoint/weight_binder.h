// Ties the tensors of a folder to the weights that the configuration asks for.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/tensor_table.h"
#include "engine/checkpoint/weights.h"
#include "support/result.h"

namespace caretd::engine {

/// Views into the table's mappings, and the few arrays that had to be copied.
struct BoundWeights {
  ModelWeights weights;
  bool tied_embeddings = false;  ///< as the config says, or because lm_head.weight is absent
  std::vector<std::unique_ptr<std::byte[]>> copies;
};

/// Checks every tensor's presence, dtype, shape and scales, and refuses tensors that the
/// architecture has no use for (a bias, a layer too many): ignoring them would change the result.
/// A tensor that is not aligned to its element size, and scales that are not F32, are copied.
/// The views stay valid when the table is moved.
[[nodiscard]] Result<BoundWeights> bind_weights(const ModelConfig& config,
                                                const TensorTable& table);

/// Everything that bind_weights() would refuse, up to `limit` faults.
[[nodiscard]] std::vector<Error> find_weight_faults(const ModelConfig& config,
                                                    const TensorTable& table, size_t limit = 100);

}  // namespace caretd::engine
