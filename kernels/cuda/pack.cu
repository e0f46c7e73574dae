#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.h"

namespace caretd::kernels::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_for(std::int64_t items) {
  const std::int64_t blocks = (items + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < 65536 ? (blocks > 0 ? blocks : 1) : 65536);
}

__device__ std::int64_t first_item() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ std::int64_t item_stride() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

__device__ float source_scale(const SourceRows& from, int row, int col) {
  if (from.scales == nullptr) return 1.0F;
  return from.scales[(from.first_row + row) / from.block_rows * from.scale_cols +
                     (from.first_col + col) / from.block_cols];
}

__device__ float source_value(const SourceRows& from, int row, int col) {
  const std::int64_t at = static_cast<std::int64_t>(row) * from.pitch + col;
  float value = 0.0F;
  switch (from.type) {
    case SourceType::f32:
      value = reinterpret_cast<const float*>(from.data)[at];
      break;
    case SourceType::f16:
      value = __half2float(reinterpret_cast<const __half*>(from.data)[at]);
      break;
    case SourceType::bf16:
      value = __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(from.data)[at]);
      break;
    case SourceType::f8_e4m3:
      value = static_cast<float>(reinterpret_cast<const __nv_fp8_e4m3*>(from.data)[at]);
      break;
  }
  return value * source_scale(from, row, col);
}

__device__ int packed_row(RowOrder order, int row) {
  return order == RowOrder::plain ? row : order == RowOrder::gate ? gate_row(row) : up_row(row);
}

/// One item is 16 bytes of the packed matrix: 8 BF16 or 16 FP8 columns of a row.
__global__ void pack_rows_kernel(SourceRows from, std::byte* to, PackedShape shape, RowOrder order,
                                 int to_row) {
  const int columns = 16 / element_bytes(shape.format);
  const int pieces = from.cols / columns;
  for (std::int64_t i = first_item(); i < static_cast<std::int64_t>(from.rows) * pieces;
       i += item_stride()) {
    const int row = static_cast<int>(i / pieces);
    const int col = static_cast<int>(i % pieces) * columns;
    const int packed = packed_row(order, to_row + row);
    std::byte* out = to + shape.offset(packed, col);
    if (shape.format == Format::bf16) {
      for (int k = 0; k < 8; ++k) {
        reinterpret_cast<__nv_bfloat16*>(out)[k] =
            __float2bfloat16(source_value(from, row, col + k));
      }
      continue;
    }
    const std::byte* in = from.data + static_cast<std::int64_t>(row) * from.pitch + col;
    for (int k = 0; k < 16; ++k) out[k] = in[k];
    if (packed % kStripRows == 0 && col % kScaleColumns == 0) {
      *reinterpret_cast<float*>(to + shape.scale_offset(packed, col)) =
          source_scale(from, row, col) * kFp8WeightScale;
    }
  }
}

__global__ void pack_kv_b_kernel(SourceRows from, int first_head, int nope, int v, std::byte* key,
                                 std::byte* absorb, std::byte* value) {
  const PackedShape key_shape{Format::bf16, from.cols, nope};
  const PackedShape value_shape{Format::bf16, v, from.cols};
  for (std::int64_t i = first_item(); i < static_cast<std::int64_t>(from.rows) * from.cols;
       i += item_stride()) {
    const int row = static_cast<int>(i / from.cols);
    const int col = static_cast<int>(i % from.cols);
    const int head = first_head + row / (nope + v);
    const int d = row % (nope + v);
    std::byte* out = d < nope
                         ? absorb + head * key_shape.bytes() + key_shape.offset(col, d)
                         : value + head * value_shape.bytes() + value_shape.offset(d - nope, col);
    const __nv_bfloat16 element = __float2bfloat16(source_value(from, row, col));
    *reinterpret_cast<__nv_bfloat16*>(out) = element;
    if (d < nope) {
      const PackedShape plain{Format::bf16, nope, from.cols};
      *reinterpret_cast<__nv_bfloat16*>(key + head * plain.bytes() + plain.offset(d, col)) =
          element;
    }
  }
}

template <typename T>
__global__ void convert_rows_kernel(SourceRows from, T* to) {
  for (std::int64_t i = first_item(); i < static_cast<std::int64_t>(from.rows) * from.cols;
       i += item_stride()) {
    to[i] = static_cast<T>(
        source_value(from, static_cast<int>(i / from.cols), static_cast<int>(i % from.cols)));
  }
}

/// One item is 8 columns of a row.
__global__ void widen_packed_kernel(const std::byte* from, std::byte* to, int rows, int cols) {
  const PackedShape narrow{Format::fp8, rows, cols};
  const PackedShape wide{Format::bf16, rows, cols};
  const int pieces = cols / 8;
  for (std::int64_t i = first_item();
       i < static_cast<std::int64_t>(wide.tiles()) * kTileRows * pieces; i += item_stride()) {
    // Neighbouring threads write neighbouring 16 bytes: rows within a strip vary fastest.
    const int row = static_cast<int>(i / (pieces * 8) * 8 + i % 8);
    const int col = static_cast<int>(i / 8 % pieces) * 8;
    const float scale =
        *reinterpret_cast<const float*>(from + narrow.scale_offset(row, col)) / kFp8WeightScale;
    const auto* in = reinterpret_cast<const __nv_fp8_e4m3*>(from + narrow.offset(row, col));
    union {
      __nv_bfloat16 value[8];
      uint4 bits;
    } out;
    for (int k = 0; k < 8; ++k) out.value[k] = __float2bfloat16(static_cast<float>(in[k]) * scale);
    *reinterpret_cast<uint4*>(to + wide.offset(row, col)) = out.bits;
  }
}

__device__ float packed_value(const std::byte* from, const PackedShape& shape, int row, int col) {
  const std::byte* at = from + shape.offset(row, col);
  if (shape.format == Format::bf16) {
    return __bfloat162float(*reinterpret_cast<const __nv_bfloat16*>(at));
  }
  const float scale = *reinterpret_cast<const float*>(from + shape.scale_offset(row, col));
  return static_cast<float>(*reinterpret_cast<const __nv_fp8_e4m3*>(at)) *
         (scale / kFp8WeightScale);
}

constexpr int kFoldedExperts = 8;  // of a thread

__global__ void fold_router_kernel(const float* router, const float* norm, int experts,
                                   const std::byte* out, PackedShape shape, float* to) {
  const int col = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int first = static_cast<int>(blockIdx.y) * kFoldedExperts;
  if (col >= shape.cols) return;
  float sum[kFoldedExperts] = {};
  for (int row = 0; row < shape.rows; ++row) {
    const float value = packed_value(out, shape, row, col) * norm[row];
#pragma unroll
    for (int i = 0; i < kFoldedExperts; ++i) {
      const int expert = min(first + i, experts - 1);
      sum[i] += router[static_cast<std::int64_t>(expert) * shape.rows + row] * value;
    }
  }
#pragma unroll
  for (int i = 0; i < kFoldedExperts; ++i) {
    if (first + i < experts) to[static_cast<std::int64_t>(first + i) * shape.cols + col] = sum[i];
  }
}

/// Uniform in [-1, 1): SplitMix64's finaliser of seed and index.
__device__ float uniform(std::uint64_t seed, std::int64_t index) {
  std::uint64_t z = seed + static_cast<std::uint64_t>(index + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<float>(static_cast<std::int64_t>(z ^ (z >> 31)) >> 40) * 0x1.0p-23F;
}

template <typename T>
__global__ void fill_random_kernel(T* to, std::int64_t count, float range, std::uint64_t seed) {
  for (std::int64_t i = first_item(); i < count; i += item_stride()) {
    to[i] = static_cast<T>(uniform(seed, i) * range);
  }
}

constexpr float kSqrt3 = 1.7320508F;
constexpr float kFp8Range = 240.0F;

/// One item is 16 bytes of a chunk; the scales behind the chunk's elements are written too.
__global__ void fill_random_fp8_kernel(std::byte* to, PackedShape shape, float scale,
                                       std::uint64_t seed) {
  const int tiles = shape.tiles();
  const int columns = shape.cols / 16;
  for (std::int64_t i = first_item(); i < static_cast<std::int64_t>(tiles) * kTileRows * columns;
       i += item_stride()) {
    const int row = static_cast<int>(i / columns);
    const int col = static_cast<int>(i % columns) * 16;
    auto* out = reinterpret_cast<__nv_fp8_e4m3*>(to + shape.offset(row, col));
    for (int k = 0; k < 16; ++k) out[k] = __nv_fp8_e4m3(uniform(seed, i * 16 + k) * kFp8Range);
    if (row % kStripRows == 0 && col % kScaleColumns == 0) {
      *reinterpret_cast<float*>(to + shape.scale_offset(row, col)) = scale;
    }
  }
}

__global__ void fill_ones_kernel(float* to, std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_stride()) to[i] = 1.0F;
}

__global__ void fill_rotary_kernel(float2* table, int positions, int pairs,
                                   const double* frequencies, double multiplier) {
  for (std::int64_t i = first_item(); i < static_cast<std::int64_t>(positions) * pairs;
       i += item_stride()) {
    double sine = 0.0;
    double cosine = 0.0;
    sincos(static_cast<double>(i / pairs) * frequencies[i % pairs], &sine, &cosine);
    table[i] =
        make_float2(static_cast<float>(cosine * multiplier), static_cast<float>(sine * multiplier));
  }
}

}  // namespace

cudaError_t pack_rows(const SourceRows& from, std::byte* to, const PackedShape& shape,
                      RowOrder order, int to_row, cudaStream_t stream) {
  const std::int64_t items =
      static_cast<std::int64_t>(from.rows) * from.cols * element_bytes(shape.format) / 16;
  return launch_kernel(pack_rows_kernel, blocks_for(items), kThreads, 0, stream, from, to, shape,
                       order, to_row);
}

cudaError_t pack_kv_b(const SourceRows& from, int first_head, int nope, int v, std::byte* key,
                      std::byte* absorb, std::byte* value, cudaStream_t stream) {
  const std::int64_t items = static_cast<std::int64_t>(from.rows) * from.cols;
  return launch_kernel(pack_kv_b_kernel, blocks_for(items), kThreads, 0, stream, from, first_head,
                       nope, v, key, absorb, value);
}

cudaError_t convert_rows(const SourceRows& from, __nv_bfloat16* to, cudaStream_t stream) {
  const std::int64_t items = static_cast<std::int64_t>(from.rows) * from.cols;
  return launch_kernel(convert_rows_kernel<__nv_bfloat16>, blocks_for(items), kThreads, 0, stream,
                       from, to);
}

cudaError_t convert_rows(const SourceRows& from, float* to, cudaStream_t stream) {
  const std::int64_t items = static_cast<std::int64_t>(from.rows) * from.cols;
  return launch_kernel(convert_rows_kernel<float>, blocks_for(items), kThreads, 0, stream, from,
                       to);
}

cudaError_t widen_packed(const std::byte* from, std::byte* to, int rows, int cols,
                         cudaStream_t stream) {
  const std::int64_t items = static_cast<std::int64_t>(rows) * cols / 8;
  return launch_kernel(widen_packed_kernel, blocks_for(items), kThreads, 0, stream, from, to, rows,
                       cols);
}

cudaError_t fold_router(const float* router, const float* norm, int experts, const std::byte* out,
                        const PackedShape& shape, float* to, cudaStream_t stream) {
  const dim3 grid((shape.cols + kThreads - 1) / kThreads,
                  (experts + kFoldedExperts - 1) / kFoldedExperts);
  return launch_kernel(fold_router_kernel, grid, kThreads, 0, stream, router, norm, experts, out,
                       shape, to);
}

cudaError_t fill_random_packed(std::byte* to, const PackedShape& shape, float deviation,
                               std::uint64_t seed, cudaStream_t stream) {
  const std::int64_t count = static_cast<std::int64_t>(shape.tiles()) * kTileRows * shape.cols;
  if (shape.format == Format::bf16) {
    return fill_random(reinterpret_cast<__nv_bfloat16*>(to), count, deviation, seed, stream);
  }
  const float scale = deviation * kSqrt3 / kFp8Range * kFp8WeightScale;
  return launch_kernel(fill_random_fp8_kernel, blocks_for(count / 16), kThreads, 0, stream, to,
                       shape, scale, seed);
}

cudaError_t fill_random(__nv_bfloat16* to, std::int64_t count, float deviation, std::uint64_t seed,
                        cudaStream_t stream) {
  return launch_kernel(fill_random_kernel<__nv_bfloat16>, blocks_for(count), kThreads, 0, stream,
                       to, count, deviation * kSqrt3, seed);
}

cudaError_t fill_random(float* to, std::int64_t count, float deviation, std::uint64_t seed,
                        cudaStream_t stream) {
  return launch_kernel(fill_random_kernel<float>, blocks_for(count), kThreads, 0, stream, to, count,
                       deviation * kSqrt3, seed);
}

cudaError_t fill_ones(float* to, std::int64_t count, cudaStream_t stream) {
  return launch_kernel(fill_ones_kernel, blocks_for(count), kThreads, 0, stream, to, count);
}

cudaError_t fill_rotary(float2* table, int positions, int pairs, const double* frequencies,
                        double multiplier, cudaStream_t stream) {
  return launch_kernel(fill_rotary_kernel, blocks_for(static_cast<std::int64_t>(positions) * pairs),
                       kThreads, 0, stream, table, positions, pairs, frequencies, multiplier);
}

}  // namespace caretd::kernels::cuda
