// Fast reproducible random numbers by position: value i of a stream is a function of the stream's
// key and i, so that any thread can produce any part.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace caretd::engine {

/// Key of the stream that belongs to a tensor.
[[nodiscard]] std::uint64_t stream_key(std::uint64_t seed, std::string_view tensor);

/// 64 random bits at position `index`: the SplitMix64 output function (Steele, Lea, Flood,
/// "Fast splittable pseudorandom number generators", 2014) on a counter.
[[nodiscard]] constexpr std::uint64_t random_bits(std::uint64_t key, std::uint64_t index) {
  std::uint64_t bits = key + index * 0x9e3779b97f4a7c15U;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9U;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebU;
  return bits ^ (bits >> 31);
}

/// Uniform in [0, 1).
[[nodiscard]] constexpr double random_unit(std::uint64_t key, std::uint64_t index) {
  return static_cast<double>(random_bits(key, index) >> 11) * 0x1p-53;
}

/// Standard normal values at the midpoints of 4,096 slices of equal probability. Picking one by
/// 12 random bits is a normal distribution cut at 3.7 deviations, at the price of a table look-up.
inline constexpr size_t kNormalSlices = 4096;
[[nodiscard]] const std::array<double, kNormalSlices>& normal_slices();
/// Values taken from one random_bits() call.
inline constexpr std::int64_t kNormalsPerDraw = 4;

}  // namespace caretd::engine
