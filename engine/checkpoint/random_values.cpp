#include "engine/checkpoint/random_values.h"

#include <cmath>
#include <numbers>

namespace caretd::engine {
namespace {

/// The standard normal value below which `probability` of the distribution lies, by bisection.
double normal_quantile(double probability) {
  double low = -10.0;
  double high = 10.0;
  while (high - low > 1e-12) {
    const double middle = (low + high) / 2;
    const double below = 0.5 * std::erfc(-middle / std::numbers::sqrt2);
    (below < probability ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

std::uint64_t stream_key(std::uint64_t seed, std::string_view tensor) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (const char character : tensor) {
    hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001b3U;
  }
  return random_bits(hash, seed + 1);
}

const std::array<double, kNormalSlices>& normal_slices() {
  static const auto kSlices = [] {
    std::array<double, kNormalSlices> slices{};
    for (size_t i = 0; i < kNormalSlices / 2; ++i) {
      const double value = normal_quantile((static_cast<double>(i) + 0.5) / kNormalSlices);
      slices[i] = value;
      slices[kNormalSlices - 1 - i] = -value;
    }
    return slices;
  }();
  return kSlices;
}

}  // namespace caretd::engine
