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
  /// The first `count` lanes, the others 0; reads no memory beyond them.
  static Lanes load_first(const float* p, int count) {
    return {_mm512_maskz_loadu_ps(first(count), p)};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
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
  [[nodiscard]] float sum() const { return _mm512_reduce_add_ps(v); }
  [[nodiscard]] float maximum() const { return _mm512_reduce_max_ps(v); }
  [[nodiscard]] float first_lane() const { return _mm512_cvtss_f32(v); }

  static __mmask16 first(int count) { return static_cast<__mmask16>((1U << count) - 1U); }
};

/// to[c][r] = from[r][c] for a square of 16: four rounds that interleave rows at distance 1, 2 (in
/// pairs of floats), 4 and 8 (in quarters of a register).
inline void transpose_square(const float* from, std::ptrdiff_t from_stride, float* to,
                             std::ptrdiff_t to_stride) {
  __m512 row[16];
  __m512 mixed[16];
  for (int r = 0; r < 16; ++r) row[r] = _mm512_loadu_ps(from + r * from_stride);
  for (int r = 0; r < 16; r += 2) {
    mixed[r] = _mm512_unpacklo_ps(row[r], row[r + 1]);
    mixed[r + 1] = _mm512_unpackhi_ps(row[r], row[r + 1]);
  }
  const auto unpack_pairs = [](__m512 a, __m512 b, bool high) {
    const __m512d x = _mm512_castps_pd(a);
    const __m512d y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
  };
  // row[4 g + j]: columns j, j + 4, j + 8, j + 12 of the rows 4 g .. 4 g + 3, a quarter each.
  for (int g = 0; g < 16; g += 4) {
    row[g] = unpack_pairs(mixed[g], mixed[g + 2], false);
    row[g + 1] = unpack_pairs(mixed[g], mixed[g + 2], true);
    row[g + 2] = unpack_pairs(mixed[g + 1], mixed[g + 3], false);
    row[g + 3] = unpack_pairs(mixed[g + 1], mixed[g + 3], true);
  }
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(row[j], row[j + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(row[j], row[j + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(row[j + 8], row[j + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(row[j + 8], row[j + 12], 0xdd);
    _mm512_storeu_ps(to + j * to_stride, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
    _mm512_storeu_ps(to + (j + 4) * to_stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
    _mm512_storeu_ps(to + (j + 8) * to_stride, _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
    _mm512_storeu_ps(to + (j + 12) * to_stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
  }
}

}  // namespace
}  // namespace caretd::kernels::cpu
