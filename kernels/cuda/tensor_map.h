// Descriptions of row-major BF16 matrices for the bulk tensor copy engine (compute capability 9.0).
#pragma once

#include <cstdint>

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

namespace caretd::kernels::cuda {

/// A matrix of which tiles are copied.
struct TiledMatrix {
  const __nv_bfloat16* data = nullptr;  ///< 16-byte aligned
  std::int64_t rows = 0;
  int cols = 0;
  std::int64_t pitch = 0;  ///< elements from row to row, a multiple of 8
  int box_rows = 0;
  int box_cols = 0;  ///< 64 or 32: swizzled over as many bytes as a row of the box has
};

/// The driver's encoder, looked up at run time so that no CUDA library is linked.
class TensorMapEncoder {
 public:
  TensorMapEncoder() = default;
  /// cudaErrorNotSupported where the driver has none.
  [[nodiscard]] static cudaError_t find(TensorMapEncoder& encoder);

  [[nodiscard]] cudaError_t encode(const TiledMatrix& matrix, CUtensorMap& map) const;

 private:
  using Encode = decltype(&cuTensorMapEncodeTiled);
  Encode encode_ = nullptr;
};

}  // namespace caretd::kernels::cuda
