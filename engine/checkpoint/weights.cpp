#include "engine/checkpoint/weights.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "kernels/cpu/numeric_formats.h"

namespace caretd::engine {
namespace {

/// Loads element `index` of an array that may have any alignment.
template <typename T>
T load(const std::byte* data, std::int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

void widen(DType dtype, const std::byte* data, std::span<float> out) {
  const auto count = static_cast<std::int64_t>(out.size());
  switch (dtype) {
    case DType::f32:
      std::memcpy(out.data(), data, out.size_bytes());
      return;
    case DType::f16:
      for (std::int64_t i = 0; i < count; ++i) {
        out[static_cast<size_t>(i)] = kernels::f16_to_float(load<std::uint16_t>(data, i));
      }
      return;
    case DType::bf16:
      for (std::int64_t i = 0; i < count; ++i) {
        out[static_cast<size_t>(i)] = kernels::bf16_to_float(load<std::uint16_t>(data, i));
      }
      return;
    case DType::f8_e4m3:
      for (std::int64_t i = 0; i < count; ++i) {
        out[static_cast<size_t>(i)] = kernels::kF8E4M3ToFloat[load<std::uint8_t>(data, i)];
      }
      return;
  }
}

}  // namespace

std::string_view to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::f16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::f8_e4m3:
      return "F8_E4M3";
  }
  return "unknown";
}

void dequantize_row(const MatrixView& matrix, std::int64_t row, std::span<float> out) {
  assert(row >= 0 && row < matrix.rows);
  assert(static_cast<std::int64_t>(out.size()) == matrix.cols);
  widen(matrix.dtype, matrix.data + row * matrix.cols * size_of(matrix.dtype), out);
  if (matrix.scales == nullptr) return;
  const float* scales = matrix.scales + row / matrix.block_rows * matrix.scale_cols();
  for (std::int64_t begin = 0; begin < matrix.cols; begin += matrix.block_cols) {
    const float scale = *scales++;
    const std::int64_t end = std::min(begin + matrix.block_cols, matrix.cols);
    for (std::int64_t col = begin; col < end; ++col) out[static_cast<size_t>(col)] *= scale;
  }
}

std::vector<float> to_float(const VectorView& vector) {
  std::vector<float> result(static_cast<size_t>(vector.size));
  widen(vector.dtype, vector.data, result);
  return result;
}

}  // namespace caretd::engine
