// Rotary position embedding over interleaved pairs (RoFormer, arXiv 2104.09864): elements 2 i and
// 2 i + 1 turn by position * inverse_frequency[i].
#pragma once

#include <span>

namespace caretd::kernels::cpu {

/// Fills cosines and sines [pairs] for one position, each times `multiplier` (YaRN's attention
/// factor).
void rope_angles(int position, std::span<const double> inverse_frequencies, double multiplier,
                 float* cosines, float* sines);

/// Rotates x [2 * pairs] in place.
inline void rotate_pairs(float* x, const float* cosines, const float* sines, int pairs) {
  for (int i = 0; i < pairs; ++i) {
    const float real = x[2 * i];
    const float imaginary = x[2 * i + 1];
    x[2 * i] = real * cosines[i] - imaginary * sines[i];
    x[2 * i + 1] = real * sines[i] + imaginary * cosines[i];
  }
}

}  // namespace caretd::kernels::cpu
