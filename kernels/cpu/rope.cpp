#include "kernels/cpu/rope.h"

#include <cmath>
#include <cstddef>

namespace caretd::kernels::cpu {

void rope_angles(int position, std::span<const double> inverse_frequencies, double multiplier,
                 float* cosines, float* sines) {
  for (std::size_t i = 0; i < inverse_frequencies.size(); ++i) {
    const double angle = position * inverse_frequencies[i];
    cosines[i] = static_cast<float>(std::cos(angle) * multiplier);
    sines[i] = static_cast<float>(std::sin(angle) * multiplier);
  }
}

}  // namespace caretd::kernels::cpu
