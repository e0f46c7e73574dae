// A checkpoint cut into pieces that are brought to the device one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/checkpoint/weights.h"
#include "engine/cuda/device_model.h"
#include "kernels/cuda/pack.h"

namespace caretd::engine::cuda {

/// Rows of a matrix and what becomes of them on the device. Where it is prepared for that, the
/// scales' rows that it needs stand behind its own, whole.
struct WeightPiece {
  MatrixView matrix;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t first_col = 0;
  std::int64_t cols = 0;
  std::function<cudaError_t(const gpu::SourceRows&, std::int64_t row, cudaStream_t)> pack;

  [[nodiscard]] std::int64_t bytes() const { return rows * cols * size_of(matrix.dtype); }
  /// Where the scales stand in a slot.
  [[nodiscard]] std::size_t scales_at() const {
    return (static_cast<std::size_t>(bytes()) + 15) / 16 * 16;
  }
  [[nodiscard]] std::int64_t first_scale_row() const { return first_row / matrix.block_rows; }
  [[nodiscard]] std::size_t scale_bytes() const {
    if (matrix.scales == nullptr) return 0;
    const std::int64_t last = (first_row + rows - 1) / matrix.block_rows;
    return static_cast<std::size_t>((last - first_scale_row() + 1) * matrix.scale_cols()) *
           sizeof(float);
  }
};

/// In the order of the forward pass. `weights` and `model` must outlive the pieces.
[[nodiscard]] std::vector<WeightPiece> weight_pieces(const ModelWeights& weights,
                                                     const Shard& shard, DeviceModel& model);

}  // namespace caretd::engine::cuda
