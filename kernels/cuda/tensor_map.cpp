#include "kernels/cuda/tensor_map.h"

namespace caretd::kernels::cuda {

cudaError_t TensorMapEncoder::find(TensorMapEncoder& encoder) {
  constexpr unsigned kSince = 12000;
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                             kSince, cudaEnableDefault, &found);
  if (error != cudaSuccess) return error;
  if (found != cudaDriverEntryPointSuccess) return cudaErrorNotSupported;
  encoder.encode_ = reinterpret_cast<Encode>(function);
  return cudaSuccess;
}

cudaError_t TensorMapEncoder::encode(const TiledMatrix& matrix, CUtensorMap& map) const {
  if (encode_ == nullptr) return cudaErrorNotSupported;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(matrix.cols),
                              static_cast<cuuint64_t>(matrix.rows)};
  const cuuint64_t pitch_bytes[] = {static_cast<cuuint64_t>(matrix.pitch) * 2};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(matrix.box_cols),
                            static_cast<cuuint32_t>(matrix.box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result =
      encode_(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<__nv_bfloat16*>(matrix.data),
              sizes, pitch_bytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
              matrix.box_cols == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t TensorMapEncoder::encode(const PackedMatrices& matrices, CUtensorMap& map) const {
  if (encode_ == nullptr) return cudaErrorNotSupported;
  const PackedShape& shape = matrices.shape;
  const int whole = shape.cols / chunk_columns(shape.format);
  const int first = matrices.last_chunk ? whole : 0;
  const auto words = [&](int columns) {
    return static_cast<cuuint32_t>(kStripRows * columns * element_bytes(shape.format) / 4);
  };
  const cuuint32_t strip = words(shape.chunk_width(first));
  const cuuint64_t sizes[] = {
      strip, 2, static_cast<cuuint64_t>(matrices.last_chunk ? 1 : whole),
      static_cast<cuuint64_t>(shape.tiles()) * static_cast<cuuint64_t>(matrices.matrices)};
  const cuuint64_t pitch_bytes[] = {strip * 4, static_cast<cuuint64_t>(shape.chunk_offset(1)),
                                    static_cast<cuuint64_t>(shape.tile_bytes())};
  const cuuint32_t box[] = {words(matrices.box_cols), 2, 1,
                            static_cast<cuuint32_t>(matrices.box_rows / kTileRows)};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUresult result =
      encode_(&map, CU_TENSOR_MAP_DATA_TYPE_UINT32, 4,
              const_cast<std::byte*>(matrices.data) + shape.chunk_offset(first), sizes, pitch_bytes,
              box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_NONE,
              CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace caretd::kernels::cuda
