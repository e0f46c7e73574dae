// Norms, activations and reductions over single rows.
#pragma once

#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {
namespace {

constexpr float kSmallestExponent = -87.0F;  // exp of less is a subnormal float32

/// exp(x) within 2 units in the last place; 0 below kSmallestExponent, exp(88) above 88. With
/// x = n ln 2 + f, exp(x) = 2^n exp(f), and exp(f) for |f| <= ln(2) / 2 is a polynomial whose
/// coefficients are those of Cephes' expf (Moshier, Methods and Programs for Mathematical
/// Functions).
inline Lanes exp(Lanes x) {
  const Lanes clamped = min(max(x, Lanes::broadcast(kSmallestExponent)), Lanes::broadcast(88.0F));
  const Lanes n = round(clamped * Lanes::broadcast(1.44269504F));
  Lanes f = multiply_add(n, Lanes::broadcast(-0.693359375F), clamped);
  f = multiply_add(n, Lanes::broadcast(2.12194440e-4F), f);
  Lanes p = Lanes::broadcast(1.9875691500e-4F);
  p = multiply_add(p, f, Lanes::broadcast(1.3981999507e-3F));
  p = multiply_add(p, f, Lanes::broadcast(8.3334519073e-3F));
  p = multiply_add(p, f, Lanes::broadcast(4.1665795894e-2F));
  p = multiply_add(p, f, Lanes::broadcast(1.6666665459e-1F));
  p = multiply_add(p, f, Lanes::broadcast(5.0000001201e-1F));
  p = multiply_add(p, f * f, f + Lanes::broadcast(1.0F));
  return zero_below(scale_by_power_of_two(p, n), x, Lanes::broadcast(kSmallestExponent));
}

/// Calls step(offset, lanes in use) for every vector of a row; the last may be partial.
template <typename Step>
inline void for_each_vector(int count, Step step) {
  int i = 0;
  for (; i + kPanel <= count; i += kPanel) step(i, kPanel);
  if (i < count) step(i, count - i);
}

inline Lanes load_some(const float* p, int lanes) {
  return lanes == kPanel ? Lanes::load(p) : Lanes::load_first(p, lanes);
}

inline void store_some(Lanes value, float* p, int lanes) {
  if (lanes == kPanel) return value.store(p);
  value.store_first(p, lanes);
}

void rms_norm(const float* x, const float* weight, int count, float epsilon, float* out) {
  Lanes squares = Lanes::zero();
  for_each_vector(count, [&](int i, int lanes) {
    const Lanes value = load_some(x + i, lanes);
    squares = multiply_add(value, value, squares);
  });
  const float mean = squares.sum() / static_cast<float>(count);
  const Lanes factor = Lanes::broadcast(1.0F / __builtin_sqrtf(mean + epsilon));
  for_each_vector(count, [&](int i, int lanes) {
    store_some(load_some(x + i, lanes) * factor * load_some(weight + i, lanes), out + i, lanes);
  });
}

void silu_multiply(float* gate, const float* up, int count) {
  const Lanes one = Lanes::broadcast(1.0F);
  for_each_vector(count, [&](int i, int lanes) {
    const Lanes g = load_some(gate + i, lanes);
    const Lanes activated = g / (one + exp(Lanes::zero() - g));
    store_some(activated * load_some(up + i, lanes), gate + i, lanes);
  });
}

void add_scaled(const float* x, float factor, int count, float* out) {
  const Lanes scale = Lanes::broadcast(factor);
  for_each_vector(count, [&](int i, int lanes) {
    store_some(multiply_add(load_some(x + i, lanes), scale, load_some(out + i, lanes)), out + i,
               lanes);
  });
}

float row_maximum(const float* x, int count) {
  if (count < kPanel) {
    float largest = x[0];
    for (int i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
  }
  Lanes largest = Lanes::load(x);
  int i = kPanel;
  for (; i + kPanel <= count; i += kPanel) largest = max(largest, Lanes::load(x + i));
  if (i < count) largest = max(largest, Lanes::load(x + count - kPanel));
  return largest.maximum();
}

float log_sum_exp(const float* x, int count) {
  const float largest = row_maximum(x, count);
  const Lanes shift = Lanes::broadcast(largest);
  Lanes sum = Lanes::zero();
  int i = 0;
  for (; i + kPanel <= count; i += kPanel) sum = sum + exp(Lanes::load(x + i) - shift);
  float total = sum.sum();
  for (; i < count; ++i) total += exp(Lanes::broadcast(x[i]) - shift).first_lane();
  return largest + __builtin_logf(total);
}

void group_maxima(const float* x, int count, int group, float* maxima) {
  for (int i = 0; i < count; i += group) {
    *maxima++ = row_maximum(x + i, count - i < group ? count - i : group);
  }
}

int find_at_least(const float* x, int count, float limit, std::int32_t* indices) {
  const Lanes threshold = Lanes::broadcast(limit);
  int found = 0;
  for_each_vector(count, [&](int i, int lanes) {
    std::uint32_t hits = at_least(load_some(x + i, lanes), threshold) & ((1U << lanes) - 1U);
    for (; hits != 0; hits &= hits - 1U) indices[found++] = i + __builtin_ctz(hits);
  });
  return found;
}

std::uint64_t read_stream(const std::byte* data, std::size_t bytes) {
  constexpr std::size_t kStep = 4 * kPanel * sizeof(float);
  const auto* values = reinterpret_cast<const float*>(data);
  Lanes sum[4] = {Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()};
  for (std::size_t step = 0; step < bytes / kStep; ++step, values += 4 * kPanel) {
    for (int j = 0; j < 4; ++j) sum[j] = sum[j] + Lanes::load(values + j * kPanel);
  }
  const float total = (sum[0] + sum[1] + (sum[2] + sum[3])).sum();
  return static_cast<std::uint64_t>(__builtin_bit_cast(std::uint32_t, total));
}

}  // namespace
}  // namespace caretd::kernels::cpu
