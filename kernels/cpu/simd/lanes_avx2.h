// Sixteen floats in two AVX2 registers; see lanes_avx512.h for what the operations mean.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {
namespace {

struct Lanes {
  __m256 low;
  __m256 high;

  /// 6 rows of one vector: twelve accumulators out of 16 registers.
  static constexpr int kBlockRows = 6;
  static constexpr int kBlockVectors = 1;
  static constexpr int kDirectRows = 6;
  static constexpr int kDirectPanels = 1;

  static constexpr int kScoreRows = 0;  ///< too few registers: see lanes_avx512.h
  static constexpr int kScoreBlock = 1;

  static Lanes zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Lanes broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }

  static Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Lanes load(const Half* p) {
    const auto* halves = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
  }
  static Lanes load(const BFloat16* p) {
    const auto* bits = reinterpret_cast<const __m128i*>(p);
    const auto widen = [](__m128i x) {
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
    };
    return {widen(_mm_loadu_si128(bits)), widen(_mm_loadu_si128(bits + 1))};
  }
  static Lanes load(const F8E4M3* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
    const __m256i halves = _mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<short>(0xbfff)));
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
            _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
  }
  static Lanes load(const Int8* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
  }
  static Lanes load_first(const float* p, int count) {
    return {_mm256_maskload_ps(p, first(count)), _mm256_maskload_ps(p + 8, first(count - 8))};
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, low);
    _mm256_storeu_ps(p + 8, high);
  }
  void store(Half* p) const {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    auto* halves = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(halves, _mm256_cvtps_ph(low, kNearest));
    _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(high, kNearest));
  }
  void store_first(float* p, int count) const {
    _mm256_maskstore_ps(p, first(count), low);
    _mm256_maskstore_ps(p + 8, first(count - 8), high);
  }

  friend Lanes operator+(Lanes a, Lanes b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  friend Lanes operator-(Lanes a, Lanes b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  friend Lanes operator*(Lanes a, Lanes b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  friend Lanes operator/(Lanes a, Lanes b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  friend Lanes max(Lanes a, Lanes b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  friend Lanes min(Lanes a, Lanes b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  friend Lanes multiply_add(Lanes a, Lanes b, Lanes c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  friend Lanes round(Lanes a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
  }
  friend Lanes scale_by_power_of_two(Lanes a, Lanes n) {
    const auto power = [](__m256 x) {
      const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
      return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
    };
    return {_mm256_mul_ps(a.low, power(n.low)), _mm256_mul_ps(a.high, power(n.high))};
  }
  friend std::uint32_t at_least(Lanes a, Lanes b) {
    const int low_bits = _mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ));
    const int high_bits = _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ));
    return static_cast<std::uint32_t>(low_bits | (high_bits << 8));
  }
  friend Lanes zero_below(Lanes a, Lanes x, Lanes limit) {
    return {_mm256_and_ps(a.low, _mm256_cmp_ps(x.low, limit.low, _CMP_GE_OQ)),
            _mm256_and_ps(a.high, _mm256_cmp_ps(x.high, limit.high, _CMP_GE_OQ))};
  }
  static void store_sums(const Lanes (&v)[4], float* out) {
    for (int i = 0; i < 4; ++i) out[i] = v[i].sum();
  }
  [[nodiscard]] float sum() const {
    const __m256 eight = _mm256_add_ps(low, high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  [[nodiscard]] float maximum() const {
    const __m256 eight = _mm256_max_ps(low, high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  [[nodiscard]] float first_lane() const { return _mm256_cvtss_f32(low); }

  /// All ones in the first `count` of eight lanes; any count, also negative.
  static __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

inline void transpose_eight(const float* from, std::ptrdiff_t from_stride, float* to,
                            std::ptrdiff_t to_stride) {
  __m256 row[8];
  __m256 mixed[8];
  for (int r = 0; r < 8; ++r) row[r] = _mm256_loadu_ps(from + r * from_stride);
  for (int r = 0; r < 8; r += 2) {
    mixed[r] = _mm256_unpacklo_ps(row[r], row[r + 1]);
    mixed[r + 1] = _mm256_unpackhi_ps(row[r], row[r + 1]);
  }
  for (int g = 0; g < 8; g += 4) {
    row[g] = _mm256_shuffle_ps(mixed[g], mixed[g + 2], 0x44);
    row[g + 1] = _mm256_shuffle_ps(mixed[g], mixed[g + 2], 0xee);
    row[g + 2] = _mm256_shuffle_ps(mixed[g + 1], mixed[g + 3], 0x44);
    row[g + 3] = _mm256_shuffle_ps(mixed[g + 1], mixed[g + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    _mm256_storeu_ps(to + j * to_stride, _mm256_permute2f128_ps(row[j], row[j + 4], 0x20));
    _mm256_storeu_ps(to + (j + 4) * to_stride, _mm256_permute2f128_ps(row[j], row[j + 4], 0x31));
  }
}

inline void transpose_square(const float* from, std::ptrdiff_t from_stride, float* to,
                             std::ptrdiff_t to_stride) {
  for (int r = 0; r < 16; r += 8) {
    for (int c = 0; c < 16; c += 8) {
      transpose_eight(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    }
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
