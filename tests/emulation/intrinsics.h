// What CUDA C++ adds to the language and its library of device functions, as far as the kernels use
// them, for code that runs on the emulated device.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "tests/emulation/device.h"

// The fibers of a block share a thread of the operating system, and it runs one block at a time.
#undef __shared__
#define __shared__ thread_local

#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __noinline__
#define __noinline__

#define threadIdx (::caretd::emulation::thread().index)
#define blockIdx (::caretd::emulation::block().index())
#define blockDim (::caretd::emulation::block().grid().threads)
#define gridDim (::caretd::emulation::block().grid().blocks)

using std::max;
using std::min;

inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline int __ffs(unsigned bits) {
  return bits == 0 ? 0 : std::countr_zero(bits) + 1;
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}

template <typename T>
T __ldg(const T* from) {
  return *from;
}
template <typename T>
T __ldcg(const T* from) {
  return *from;
}
template <typename T>
T __ldcs(const T* from) {
  return *from;
}
template <typename T>
T atomicAdd(T* to, T value) {
  return std::atomic_ref(*to).fetch_add(value);
}
inline long long clock64() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

inline void __syncthreads() {
  caretd::emulation::block().sync(0, 0);
}
inline void __syncwarp() {
  int nothing = 0;
  caretd::emulation::warp_together(nothing, [](int* const*) {});
}

namespace caretd::emulation {

/// Every lane gets the value of lane source(lane).
template <typename T, typename Source>
T shuffle(T value, Source&& source) {
  struct {
    T given;
    T taken;
    int from;
  } lane = {value, value, source(thread().lane())};
  warp_together(lane, [](auto* const* lanes) {
    for (int i = 0; i < kWarpSize; ++i) lanes[i]->taken = lanes[lanes[i]->from]->given;
  });
  return lane.taken;
}

/// Every lane gets the combination of all lanes' values.
template <typename T, typename Combine>
T reduce(T value, Combine&& combine) {
  warp_together(value, [&](T* const* lanes) {
    T result = *lanes[0];
    for (int i = 1; i < kWarpSize; ++i) result = combine(result, *lanes[i]);
    for (int i = 0; i < kWarpSize; ++i) *lanes[i] = result;
  });
  return value;
}

}  // namespace caretd::emulation

// Every use in the kernels is of all lanes.
template <typename T>
T __shfl_sync(unsigned, T value, int from) {
  return caretd::emulation::shuffle(value, [=](int) { return from & 31; });
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return caretd::emulation::shuffle(value, [=](int lane) { return lane ^ mask; });
}
inline unsigned __ballot_sync(unsigned, bool value) {
  const unsigned bit = value ? 1U << caretd::emulation::thread().lane() : 0U;
  return caretd::emulation::reduce(bit, [](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned, bool value) {
  return caretd::emulation::reduce(value ? 1 : 0, [](int a, int b) { return a | b; });
}
template <typename T>
T __reduce_add_sync(unsigned, T value) {
  return caretd::emulation::reduce(value, [](T a, T b) { return a + b; });
}
template <typename T>
T __reduce_max_sync(unsigned, T value) {
  return caretd::emulation::reduce(value, [](T a, T b) { return std::max(a, b); });
}
template <typename T>
T __reduce_min_sync(unsigned, T value) {
  return caretd::emulation::reduce(value, [](T a, T b) { return std::min(a, b); });
}
template <typename T>
T __reduce_or_sync(unsigned, T value) {
  return caretd::emulation::reduce(value, [](T a, T b) { return a | b; });
}
