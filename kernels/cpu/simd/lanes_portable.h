// Sixteen floats as plain C++, for processors without AVX2 and as the reference of the other two;
// see lanes_avx512.h for what the operations mean.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/numeric_formats.h"

namespace caretd::kernels::cpu {
namespace {

struct Lanes {
  float v[16];

  static constexpr int kBlockRows = 2;
  static constexpr int kBlockVectors = 1;
  static constexpr int kDirectRows = 2;
  static constexpr int kDirectPanels = 1;

  template <typename Lane>
  static Lanes each(Lane lane) {
    Lanes result;
    for (int i = 0; i < 16; ++i) result.v[i] = lane(i);
    return result;
  }

  static constexpr int kScoreRows = 0;  ///< too few registers: see lanes_avx512.h
  static constexpr int kScoreBlock = 1;

  static Lanes zero() { return broadcast(0.0F); }
  static Lanes broadcast(float x) {
    return each([x](int) { return x; });
  }
  static Lanes load(const float* p) {
    return each([p](int i) { return p[i]; });
  }
  static Lanes load(const Half* p) {
    return each([p](int i) { return f16_to_float(static_cast<std::uint16_t>(p[i])); });
  }
  static Lanes load(const BFloat16* p) {
    return each([p](int i) { return bf16_to_float(static_cast<std::uint16_t>(p[i])); });
  }
  static Lanes load(const F8E4M3* p) {
    return each([p](int i) { return kF8E4M3ToFloat[static_cast<std::uint8_t>(p[i])] * 0x1p-8F; });
  }
  static Lanes load(const Int8* p) {
    return each([p](int i) { return static_cast<float>(static_cast<std::int8_t>(p[i])); });
  }
  static Lanes load_first(const float* p, int count) {
    return each([p, count](int i) { return i < count ? p[i] : 0.0F; });
  }
  void store(float* p) const {
    for (int i = 0; i < 16; ++i) p[i] = v[i];
  }
  void store(Half* p) const {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<Half>(float_to_f16(v[i]));
  }
  void store_first(float* p, int count) const {
    for (int i = 0; i < 16 && i < count; ++i) p[i] = v[i];
  }

  friend Lanes operator+(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  friend Lanes operator-(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  friend Lanes operator*(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  friend Lanes operator/(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  friend Lanes max(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  friend Lanes min(const Lanes& a, const Lanes& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  /// Rounded twice here: the portable kernels agree with the others within float32 rounding.
  friend Lanes multiply_add(const Lanes& a, const Lanes& b, const Lanes& c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  friend Lanes round(const Lanes& a) {
    return each([&](int i) { return std::nearbyint(a.v[i]); });
  }
  friend Lanes scale_by_power_of_two(const Lanes& a, const Lanes& n) {
    return each([&](int i) { return std::ldexp(a.v[i], static_cast<int>(n.v[i])); });
  }
  friend std::uint32_t at_least(const Lanes& a, const Lanes& b) {
    std::uint32_t bits = 0;
    for (int i = 0; i < 16; ++i) bits |= static_cast<std::uint32_t>(a.v[i] >= b.v[i]) << i;
    return bits;
  }
  friend Lanes zero_below(const Lanes& a, const Lanes& x, const Lanes& limit) {
    return each([&](int i) { return x.v[i] >= limit.v[i] ? a.v[i] : 0.0F; });
  }
  static void store_sums(const Lanes (&v)[4], float* out) {
    for (int i = 0; i < 4; ++i) out[i] = v[i].sum();
  }
  [[nodiscard]] float sum() const {
    float total = 0.0F;
    for (const float x : v) total += x;
    return total;
  }
  [[nodiscard]] float maximum() const {
    float largest = v[0];
    for (const float x : v) largest = x > largest ? x : largest;
    return largest;
  }
  [[nodiscard]] float first_lane() const { return v[0]; }
};

inline void transpose_square(const float* from, std::ptrdiff_t from_stride, float* to,
                             std::ptrdiff_t to_stride) {
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 16; ++c) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
