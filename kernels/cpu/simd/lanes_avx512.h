// Sixteen floats in one AVX-512 register. The three lanes_*.h files define the same type for
// three instruction sets; the kernels in this folder are written once, on top of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {
namespace {

struct Lanes {
  __m512 v;

  /// Register blocking of the matrix kernel: rows x vectors accumulators out of 32 registers.
  static constexpr int kBlockRows = 12;
  static constexpr int kBlockVectors = 2;
  /// Rows up to which weights are converted in registers, without a detour through memory.
  static constexpr int kDirectRows = 12;
  /// Panels of weights that meet such rows at a time: their accumulators, weights of two inputs and
  /// one input fill the registers.
  static constexpr int kDirectPanels = 2;

  /// Rows up to which scores are computed from keys as they lie, and how many at a time: four keys
  /// of six rows fill the registers.
  static constexpr int kScoreRows = 12;
  static constexpr int kScoreBlock = 6;

  static Lanes zero() { return {_mm512_setzero_ps()}; }
  static Lanes broadcast(float x) { return {_mm512_set1_ps(x)}; }

  static Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Lanes load(const Half* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Lanes load(const BFloat16* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  /// The value times 2^-8: see F8E4M3.
  static Lanes load(const F8E4M3* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
    return {
        _mm512_cvtph_ps(_mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<short>(0xbfff))))};
  }
  static Lanes load(const Int8* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
  }
  /// The first `count` lanes, the others 0; reads no memory beyond them.
  static Lanes load_first(const float* p, int count) {
    return {_mm512_maskz_loadu_ps(first(count), p)};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  /// Rounded to the nearest; no value may be beyond the largest of float16.
  void store(Half* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  void store_first(float* p, int count) const { _mm512_mask_storeu_ps(p, first(count), v); }

  friend Lanes operator+(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Lanes operator-(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Lanes operator*(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Lanes operator/(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
  friend Lanes max(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
  friend Lanes min(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
  /// a * b + c, rounded once.
  friend Lanes multiply_add(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  friend Lanes round(Lanes a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  /// a * 2^n for integral n in -126..127.
  friend Lanes scale_by_power_of_two(Lanes a, Lanes n) { return {_mm512_scalef_ps(a.v, n.v)}; }
  /// Bit i is set where lane i of a is at least that of b.
  friend std::uint32_t at_least(Lanes a, Lanes b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ);
  }
  /// a where x >= limit, 0 elsewhere.
  friend Lanes zero_below(Lanes a, Lanes x, Lanes limit) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GE_OQ), a.v)};
  }
  /// out[i] = the sum of v[i]'s lanes.
  static void store_sums(const Lanes (&v)[4], float* out) {
    const auto fold = [](__m512 low, __m512 high) {
      return _mm512_add_ps(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
    };
    const __m512d first = _mm512_castps_pd(fold(v[0].v, v[1].v));
    const __m512d second = _mm512_castps_pd(fold(v[2].v, v[3].v));
    const __m512d quarters =
        _mm512_castps_pd(_mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(first, second)),
                                       _mm512_castpd_ps(_mm512_unpackhi_pd(first, second))));
    const __m256 halves = _mm256_add_ps(_mm256_castpd_ps(_mm512_castpd512_pd256(quarters)),
                                        _mm256_castpd_ps(_mm512_extractf64x4_pd(quarters, 1)));
    _mm_storeu_ps(out,
                  _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
  }
  [[nodiscard]] float sum() const { return _mm512_reduce_add_ps(v); }
  [[nodiscard]] float maximum() const { return _mm512_reduce_max_ps(v); }
  [[nodiscard]] float first_lane() const { return _mm512_cvtss_f32(v); }

  static __mmask16 first(int count) { return static_cast<__mmask16>((1U << count) - 1U); }
};

/// The weights of two inputs, widened together: the conversion and the products of few rows compete
/// for the same two ports.
inline void load_two(const F8E4M3* from, Lanes (&two)[2]) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m512i shifted = _mm512_slli_epi16(_mm512_cvtepi8_epi16(bytes), 7);
  const __m512i halves = _mm512_and_si512(shifted, _mm512_set1_epi16(static_cast<short>(0xbfff)));
  two[0] = {_mm512_cvtph_ps(_mm512_castsi512_si256(halves))};
  two[1] = {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}

/// to[c][r] = from[r][c] for a square of 16. Quarters of four rows that are four apart are loaded
/// into one register, which leaves two rounds that interleave neighbouring rows.
inline void transpose_square(const float* from, std::ptrdiff_t from_stride, float* to,
                             std::ptrdiff_t to_stride) {
  for (int column = 0; column < 16; column += 4) {
    __m512 row[4];
    for (int r = 0; r < 4; ++r) {
      const auto quarter = [&](int i) {
        return _mm_loadu_ps(from + (r + 4 * i) * from_stride + column);
      };
      row[r] = _mm512_castps128_ps512(quarter(0));
      row[r] = _mm512_insertf32x4(row[r], quarter(1), 1);
      row[r] = _mm512_insertf32x4(row[r], quarter(2), 2);
      row[r] = _mm512_insertf32x4(row[r], quarter(3), 3);
    }
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1]));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3]));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
    float* out = to + column * to_stride;
    _mm512_storeu_pd(out, _mm512_unpacklo_pd(low01, low23));
    _mm512_storeu_pd(out + to_stride, _mm512_unpackhi_pd(low01, low23));
    _mm512_storeu_pd(out + 2 * to_stride, _mm512_unpacklo_pd(high01, high23));
    _mm512_storeu_pd(out + 3 * to_stride, _mm512_unpackhi_pd(high01, high23));
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
