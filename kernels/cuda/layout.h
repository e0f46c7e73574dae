// How weights and activations lie in device memory. Pure arithmetic, shared by host and device.
//
// Weights [rows, cols] are packed into tiles of 16 rows, a tile into chunks of 512 (BF16) or 1,024
// (FP8) columns, so that one bulk copy of 16 KB brings what four warps multiply next. Inside a
// chunk lie two strips of 8 rows, each a sequence of "core matrices" of 8 rows x 16 bytes: the unit
// that ldmatrix loads and that wgmma addresses in shared memory without a swizzle.
//
//   tile    [rows / 16]
//   chunk   [ceil(cols / chunk_columns)]       the last one may be narrower
//   strip   [2]                                rows 0-7, rows 8-15
//   core    [chunk width / (16 / element size)]
//   row     [8] of 16 bytes
//   scales  FP8 only, after both strips: float [2 strips][8 blocks of 128 columns]
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)
#define CARETD_HOST_DEVICE __host__ __device__
#else
#define CARETD_HOST_DEVICE
#endif

namespace caretd::kernels::cuda {

/// Element type of the streamed weights. FP8 is E4M3 with one float scale for every strip of 8
/// rows and 128 columns, whatever the checkpoint's own blocks were.
enum class Format : std::uint8_t { bf16, fp8 };

inline constexpr int kTileRows = 16;
inline constexpr int kStripRows = 8;
inline constexpr int kScaleColumns = 128;
inline constexpr int kScaleBytesPerChunk = 64;
/// Largest chunk: 16 rows x 1,024 FP8 columns and their scales.
inline constexpr int kMaxChunkBytes = 16 * 1024 + kScaleBytesPerChunk;

/// E4M3 bits are widened to BF16 by moving them, which leaves the value 2^-120 too small (the
/// difference of the exponent biases). Activations that meet FP8 weights are stored 2^100 times too
/// large, the other 2^20 are folded into the packed scales; all of it is exact.
inline constexpr float kFp8ActivationScale = 1.2676506002282294e30F;  // 2^100
inline constexpr float kFp8WeightScale = 1048576.0F;                  // 2^20

/// Columns of an activation row that one pass of step/split_row.cuh holds, and its bytes: two FP8
/// values a column and four scales.
inline constexpr int kSplitPassColumns = 512;
inline constexpr int kSplitPassBytes = 2 * kSplitPassColumns + 16;

CARETD_HOST_DEVICE constexpr int split_passes(int columns) {
  return (columns + kSplitPassColumns - 1) / kSplitPassColumns;
}

CARETD_HOST_DEVICE constexpr int element_bytes(Format format) {
  return format == Format::bf16 ? 2 : 1;
}
CARETD_HOST_DEVICE constexpr int chunk_columns(Format format) {
  return format == Format::bf16 ? 512 : 1024;
}
CARETD_HOST_DEVICE constexpr int scale_bytes(Format format) {
  return format == Format::bf16 ? 0 : kScaleBytesPerChunk;
}

/// Geometry of one packed matrix. `rows` is padded to a multiple of 16 with zero rows; `cols` must
/// be a multiple of 32.
struct PackedShape {
  Format format = Format::bf16;
  int rows = 0;
  int cols = 0;

  [[nodiscard]] CARETD_HOST_DEVICE constexpr int tiles() const {
    return (rows + kTileRows - 1) / kTileRows;
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int chunks() const {
    return (cols + chunk_columns(format) - 1) / chunk_columns(format);
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int chunk_width(int chunk) const {
    if (cols % chunk_columns(format) == 0) return chunk_columns(format);
    const int left = cols - chunk * chunk_columns(format);
    return left < chunk_columns(format) ? left : chunk_columns(format);
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr int chunk_bytes(int chunk) const {
    return kTileRows * chunk_width(chunk) * element_bytes(format) + scale_bytes(format);
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr std::int64_t chunk_offset(int chunk) const {
    return static_cast<std::int64_t>(chunk) *
           (kTileRows * chunk_columns(format) * element_bytes(format) + scale_bytes(format));
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr std::int64_t tile_bytes() const {
    return static_cast<std::int64_t>(kTileRows) * cols * element_bytes(format) +
           static_cast<std::int64_t>(chunks()) * scale_bytes(format);
  }
  [[nodiscard]] CARETD_HOST_DEVICE constexpr std::int64_t bytes() const {
    return tiles() * tile_bytes();
  }
  /// Byte offset of element (row, col).
  [[nodiscard]] CARETD_HOST_DEVICE constexpr std::int64_t offset(int row, int col) const {
    const int chunk = col / chunk_columns(format);
    const int k = col % chunk_columns(format);
    const int strip = row % kTileRows / kStripRows;
    const int core_columns = 16 / element_bytes(format);
    return row / kTileRows * tile_bytes() + chunk_offset(chunk) +
           static_cast<std::int64_t>(strip) * kStripRows * chunk_width(chunk) *
               element_bytes(format) +
           k / core_columns * 128 + row % kStripRows * 16 +
           k % core_columns * element_bytes(format);
  }
  /// Byte offset of the float scale of element (row, col); FP8 only.
  [[nodiscard]] CARETD_HOST_DEVICE constexpr std::int64_t scale_offset(int row, int col) const {
    const int chunk = col / chunk_columns(format);
    const int strip = row % kTileRows / kStripRows;
    const int block = col % chunk_columns(format) / kScaleColumns;
    return row / kTileRows * tile_bytes() + chunk_offset(chunk) + kTileRows * chunk_width(chunk) +
           (strip * 8 + block) * 4;
  }
};

/// Where column k of an activation row lies (the unit is one BF16). Within every 32 columns the
/// order is the one in which mma.m16n8k16 wants them, so that a lane loads the B operand of two
/// k-steps with one 16-byte load. FP8 weights need another order, because ldmatrix gives a lane
/// four consecutive FP8 columns.
CARETD_HOST_DEVICE constexpr int activation_position(Format format, int k) {
  const int step = k / 16 % 2;
  const int kk = k % 16;
  if (format == Format::bf16) {
    return k / 32 * 32 + kk % 8 / 2 * 8 + step * 4 + kk / 8 * 2 + kk % 2;
  }
  const int quarter = kk % 4;  // columns 4t+{1,3} feed the first register, 4t+{0,2} the second
  const int slot = quarter % 2 == 1 ? quarter / 2 : 2 + quarter / 2;
  return k / 32 * 32 + kk / 4 * 8 + step * 4 + slot;
}

/// The column at a place: the inverse of activation_position.
CARETD_HOST_DEVICE constexpr int activation_column(Format format, int position) {
  const int four = position % 32 / 8;  // of a step's four groups of columns
  const int step = position / 4 % 2;
  const int slot = position % 4;
  const int column = format == Format::bf16 ? four * 2 + slot / 2 * 8 + slot % 2
                                            : four * 4 + (slot < 2 ? slot * 2 + 1 : slot * 2 - 4);
  return position / 32 * 32 + step * 16 + column;
}

CARETD_HOST_DEVICE constexpr float activation_scale(Format format) {
  return format == Format::bf16 ? 1.0F : kFp8ActivationScale;
}

/// Row of the interleaved [gate | up] matrix: strips of 8 gate rows and 8 up rows alternate, so the
/// thread that holds a gate value also holds the matching up value.
CARETD_HOST_DEVICE constexpr int gate_row(int unit) {
  return unit / 8 * 16 + unit % 8;
}
CARETD_HOST_DEVICE constexpr int up_row(int unit) {
  return unit / 8 * 16 + 8 + unit % 8;
}

}  // namespace caretd::kernels::cuda
