// Rearranges a row-major weight matrix of a checkpoint for the matrix kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {

/// Rows [first_row, first_row + rows) of a row-major matrix with `cols` columns. Element (r, c),
/// counted from the start of the whole matrix, is
/// data * scales[r / block_rows * scale_cols + c / block_cols]; scales may be null.
struct RowMajorWeights {
  Format format = Format::f32;
  const std::byte* data = nullptr;  ///< of row 0, any alignment
  int first_row = 0;
  int rows = 0;
  int cols = 0;
  const float* scales = nullptr;
  int block_rows = 0;
  int block_cols = 0;
};

/// as_is: out = W x, the rows are the outputs. transposed: out = W^T x, the columns are.
enum class Orientation : std::uint8_t { as_is, transposed };

/// Shapes and segment sizes of the packed matrix, with null data and scales.
[[nodiscard]] PackedWeights plan_packing(const RowMajorWeights& from, Orientation orientation);
/// Bytes that pack() writes for a plan: data, then scales, each rounded up to 64 bytes.
[[nodiscard]] std::size_t packed_bytes(const PackedWeights& plan, bool scaled);
[[nodiscard]] inline bool needs_scales(const RowMajorWeights& from) {
  return from.scales != nullptr || from.format == Format::f8_e4m3;
}

/// Packs into `memory`, which holds packed_bytes(plan_packing(from, orientation),
/// needs_scales(from)) bytes, is aligned to 64 and must outlive the result.
[[nodiscard]] PackedWeights pack(const RowMajorWeights& from, Orientation orientation,
                                 std::span<std::byte> memory);

/// Inputs that share one scale of an output in what pack_int8() makes.
inline constexpr int kInt8Segment = 128;
/// Shapes and segment sizes of an int8 matrix with null data and scales; packed_bytes(plan, true)
/// says how large it is.
[[nodiscard]] PackedWeights plan_int8(int outputs, int inputs);
/// Rounds rows to int8 and packs them as the outputs [first_row, first_row + rows) of `plan`, which
/// end at a panel's end or at the last output, into the memory of the whole matrix. Calls for
/// different rows may run side by side; all return the same matrix. The rounding error of a weight
/// is at most 1/254 of the largest one that shares its scale.
[[nodiscard]] PackedWeights pack_int8(const RowMajorWeights& from, const PackedWeights& plan,
                                      std::span<std::byte> memory);

/// Converts the weights of one output back to float32; `out` has `inputs` elements.
void unpack_output(const PackedWeights& weights, int output, std::span<float> out);

/// Whether every element is a number (neither infinite nor NaN).
[[nodiscard]] bool all_finite(const RowMajorWeights& weights);

}  // namespace caretd::kernels::cpu
