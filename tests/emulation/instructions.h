// The instructions of the emulated device that move or multiply matrices, by the layouts of the PTX
// ISA ("Matrix fragments for mma.m16n8k16", "ldmatrix", "Asynchronous warpgroup level matrix").
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

namespace caretd::emulation {

/// Pauses, saying for what.
void pause_for(const char* what);

/// Accesses of 16 bytes that are not torn.
void store_16(void* to, const uint4& value);
[[nodiscard]] uint4 load_16(const void* from);

/// The thread's groups of asynchronous copies, except for the last `pending` committed ones.
void finish_copies(int pending);

[[nodiscard]] float value_of_e4m3(std::uint8_t bits);

/// ldmatrix of four matrices of 8 x 8 elements of 16 bits.
[[nodiscard]] uint4 load_matrices(std::uint32_t row, bool transposed);

/// c[16 x 8] += a[16 x 16] b[16 x 8], BF16.
void multiply_bf16(float (&c)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1);
/// c[16 x 8] += a[16 x 8] b[8 x 8], TF32.
void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

/// Of a warpgroup's product: core matrices of 8 rows x 16 bytes in shared memory.
struct Operand {
  std::uint32_t address = 0;
  std::uint32_t leading = 0;  ///< bytes to the next core matrix along K
  std::uint32_t stride = 0;   ///< bytes to the next 8 rows

  [[nodiscard]] std::uint64_t pack() const {
    return std::uint64_t{address} | std::uint64_t{leading} << 20 | std::uint64_t{stride} << 40;
  }
  /// `bytes` further on.
  [[nodiscard]] static Operand unpack(std::uint64_t packed, std::uint32_t bytes = 0) {
    constexpr std::uint64_t kField = (1U << 20) - 1;
    return {static_cast<std::uint32_t>(packed & kField) + bytes,
            static_cast<std::uint32_t>(packed >> 20 & kField),
            static_cast<std::uint32_t>(packed >> 40 & kField)};
  }
};

/// d[64 x 16] += a[64 x 32] b[16 x 32]^T of a warpgroup, E4M3.
void multiply_e4m3(float (&d)[8], const Operand& a, const Operand& b);

}  // namespace caretd::emulation
