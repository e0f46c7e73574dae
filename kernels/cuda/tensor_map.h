// Descriptions of matrices for the bulk tensor copy engine (compute capability 9.0).
#pragma once

#include <cstdint>

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/layout.h"

namespace caretd::kernels::cuda {

/// A row-major BF16 matrix of which tiles are copied.
struct TiledMatrix {
  const __nv_bfloat16* data = nullptr;  ///< 16-byte aligned
  std::int64_t rows = 0;
  int cols = 0;
  std::int64_t pitch = 0;  ///< elements from row to row, a multiple of 8
  int box_rows = 0;
  int box_cols = 0;  ///< 64 or 32: swizzled over as many bytes as a row of the box has
};

/// Packed matrices (layout.h), one behind the other, of which strips are copied. A box has
/// coordinates {32-bit word of a strip's chunk, 0, chunk, tile of 16 rows} and holds its strips one
/// after the other, each as its core matrices along K. Only the whole chunks are described, or only
/// the narrower last one.
struct PackedMatrices {
  const std::byte* data = nullptr;
  PackedShape shape;
  int matrices = 1;
  bool last_chunk = false;
  int box_rows = 0;  ///< a multiple of 16
  int box_cols = 0;
};

/// The driver's encoder, looked up at run time so that no CUDA library is linked.
class TensorMapEncoder {
 public:
  TensorMapEncoder() = default;
  /// cudaErrorNotSupported where the driver has none.
  [[nodiscard]] static cudaError_t find(TensorMapEncoder& encoder);

  [[nodiscard]] cudaError_t encode(const TiledMatrix& matrix, CUtensorMap& map) const;
  [[nodiscard]] cudaError_t encode(const PackedMatrices& matrices, CUtensorMap& map) const;

 private:
  using Encode = decltype(&cuTensorMapEncodeTiled);
  Encode encode_ = nullptr;
};

}  // namespace caretd::kernels::cuda
