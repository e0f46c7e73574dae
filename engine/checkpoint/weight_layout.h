// Which tensors a DeepSeek-V2 checkpoint consists of, under which names and in which shapes: the
// one description that reading, writing and counting share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/checkpoint/model_config.h"
#include "engine/checkpoint/weights.h"

namespace caretd::engine {

enum class TensorRole : std::uint8_t {
  embedding,
  head,
  norm,
  router,
  linear  ///< every other projection: the ones that FP8 checkpoints quantize
};

/// One tensor that a checkpoint of a given shape must have.
struct TensorSpec {
  std::string name;
  TensorRole role = TensorRole::linear;
  std::int64_t rows = 0;
  std::int64_t cols = 0;  ///< 0: a vector of `rows` elements (norms)

  [[nodiscard]] std::int64_t elements() const { return rows * (cols == 0 ? 1 : cols); }
  [[nodiscard]] std::vector<std::int64_t> shape() const {
    return cols == 0 ? std::vector{rows} : std::vector{rows, cols};
  }
};

/// A spec and the view it belongs to; exactly one pointer is set, into the ModelWeights given.
struct WeightSlot {
  TensorSpec spec;
  MatrixView* matrix = nullptr;
  VectorView* vector = nullptr;
};

/// Sizes `weights` for `config` and lists its views in the order of the forward pass. The head is
/// listed unless config.tied_embeddings. The pointers are valid while weights.layers is not
/// resized.
[[nodiscard]] std::vector<WeightSlot> weight_slots(const ModelConfig& config,
                                                   ModelWeights& weights);
/// The same list without the views.
[[nodiscard]] std::vector<TensorSpec> tensor_layout(const ModelConfig& config);

}  // namespace caretd::engine
