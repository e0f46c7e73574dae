// Scalar conversions between float32 and the storage formats of model weights.
//
// bf16: the upper half of a float32. f16: IEEE 754 binary16. f8_e4m3: the "fn" variant of
// "FP8 Formats for Deep Learning" (arXiv 2209.05433), table 1: bias 7, no infinities, 0x7f and
// 0xff are NaN, largest finite value 448. Conversions to the narrow format round to nearest, ties
// to even. Everything is constexpr, pure and exact in the widening direction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace caretd::kernels {

inline constexpr float kLargestF8E4M3 = 448.0F;

[[nodiscard]] constexpr float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Overflow gives infinity, NaN stays a (quiet) NaN.
[[nodiscard]] constexpr std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  if (is_nan) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  const std::uint32_t round_half_to_even = 0x7fffU + ((bits >> 16) & 1U);
  return static_cast<std::uint16_t>((bits + round_half_to_even) >> 16);
}

[[nodiscard]] constexpr float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) {  // infinity or NaN
    return std::bit_cast<float>(sign | 0x7f800000U | ((magnitude & 0x3ffU) << 13));
  }
  // Shifted into float32's fields the value is too small by the difference of the exponent
  // biases; the multiplication repairs that and normalises subnormals, exactly.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

/// Overflow gives infinity, NaN stays a (quiet) NaN.
[[nodiscard]] constexpr std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return sign | 0x7e00U;
  if (magnitude >= 0x477ff000U) return sign | 0x7c00U;  // 65520 and above round to infinity
  if (magnitude < 0x38800000U) {
    // A subnormal result: adding 0.5 lets the float adder round at the last place, 2^-24.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U);
  }
  const std::uint32_t round_half_to_even = 0xfffU + ((magnitude >> 13) & 1U);
  const std::uint32_t rebiased = magnitude - (112U << 23) + round_half_to_even;
  return sign | static_cast<std::uint16_t>(rebiased >> 13);
}

[[nodiscard]] constexpr float f8_e4m3_to_float(std::uint8_t bits) {
  const std::uint32_t sign = (bits & 0x80U) << 24;
  const std::uint32_t magnitude = bits & 0x7fU;
  if (magnitude == 0x7fU) return std::numeric_limits<float>::quiet_NaN();
  const float scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120F;  // see f16_to_float
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

/// Saturates: values beyond 448 (infinities too) become +-448. NaN stays NaN.
[[nodiscard]] constexpr std::uint8_t float_to_f8_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80U);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return sign | 0x7fU;
  if (magnitude >= 0x43e00000U) return sign | 0x7eU;  // 448
  if (magnitude < 0x3c800000U) {
    // A subnormal result (below 2^-6): the adder rounds at the last place, 2^-9 = ulp(2^14).
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14F;
    return sign | static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(shifted) - 0x46800000U);
  }
  const std::uint32_t round_half_to_even = 0x7ffffU + ((magnitude >> 20) & 1U);
  const std::uint32_t rebiased = magnitude - (120U << 23) + round_half_to_even;
  return sign | static_cast<std::uint8_t>(rebiased >> 20);
}

/// f8_e4m3_to_float of every byte, for loops that convert many.
inline constexpr std::array<float, 256> kF8E4M3ToFloat = [] {
  std::array<float, 256> table{};
  for (unsigned bits = 0; bits < table.size(); ++bits) {
    table[bits] = f8_e4m3_to_float(static_cast<std::uint8_t>(bits));
  }
  return table;
}();

}  // namespace caretd::kernels
