// Values that carry the mark of the operation that wrote them. A grid barrier under a full stream
// of weights costs 2 microseconds and the loads behind it another one: the stores before it have to
// arrive, then the counter, then the poll, then the data. A word of 32 bits and a mark is written
// and read as one (PTX ISA, memory consistency model: a relaxed access of 64 bits is not torn), so
// that whoever needs a value waits for that value and has it.
//
// A word is written again one layer later. By then all its readers have read it: the writer's next
// value depends, over the operations in between, on something that each of them has written since.
#pragma once

#include "kernels/cuda/step/block.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

__device__ __forceinline__ void publish(StepWord* to, std::uint32_t value, unsigned mark) {
  store_relaxed(to, make_uint2(value, mark));
}
__device__ __forceinline__ void publish(StepWord* to, float value, unsigned mark) {
  publish(to, __float_as_uint(value), mark);
}

/// Activation k of a row in the activation order of F. All lanes of the warp take part, lane l with
/// a k that differs from l in a multiple of 4: two lanes share a word, in BF16 those of columns 2i
/// and 2i + 1, for FP8 those of 4i and 4i + 2 or 4i + 1 and 4i + 3. Those not `valid` write
/// nothing.
template <Format F>
__device__ __forceinline__ void publish_activation(StepWord* row, int k, float value, bool valid,
                                                   unsigned mark) {
  constexpr int kPartner = F == Format::bf16 ? 1 : 2;
  const float partner = __shfl_xor_sync(~0U, value, kPartner);
  if (!valid || (k & kPartner) != 0) return;
  constexpr float s = activation_scale(F);
  publish(row + activation_position(F, k) / 2, pack_bf16(value * s, partner * s), mark);
}

/// Waits for N pairs of words a lane, address(i) being the first of pair i (16-byte aligned) or
/// null for a pair that is not wanted, and gives their values; all lanes of a warp. All are asked
/// for at once, and what was missing again.
template <int N, class Address>
__device__ __forceinline__ void await_words(unsigned mark, uint2 (&values)[N], Address&& address) {
  uint4 w[N];
#pragma unroll
  for (int i = 0; i < N; ++i) {
    w[i] = make_uint4(0, mark, 0, mark);
    if (address(i) != nullptr) w[i] = load_relaxed_pair(address(i));
  }
  for (bool missing = true; __any_sync(~0U, missing);) {
    missing = false;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (w[i].y == mark && w[i].w == mark) continue;
      missing = true;
      w[i] = load_relaxed_pair(address(i));
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = make_uint2(w[i].x, w[i].z);
}

/// The same in two steps, between which other work is done, for words that are waited for long:
/// until one pair is there the others are not asked for again, which would keep the L2 busy. No
/// address is null: what a branch skips would have to be there at the branch's end.
template <int N>
struct AskedWords {
  uint4 w[N];

  template <class Address>
  __device__ __forceinline__ void ask(Address&& address) {
#pragma unroll
    for (int i = 0; i < N; ++i) w[i] = load_relaxed_pair(address(i));
  }
  /// address(i) is that of the latest ask().
  template <class Address>
  __device__ __forceinline__ void await(unsigned mark, uint2 (&values)[N], Address&& address) {
    settle<N - 1>(mark, address);
    settle<0>(mark, address);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = make_uint2(w[i].x, w[i].z);
  }

 private:
  /// Asks again for pairs kFirst and following ones until all of them carry the mark.
  template <int kFirst, class Address>
  __device__ __forceinline__ void settle(unsigned mark, Address&& address) {
    for (bool missing = true; __any_sync(~0U, missing);) {
      missing = false;
#pragma unroll
      for (int i = kFirst; i < N; ++i) {
        if (w[i].y == mark && w[i].w == mark) continue;
        missing = true;
        w[i] = load_relaxed_pair(address(i));
      }
    }
  }
};

// Wide words of 128 bits carry three values each; a relaxed access of type .b128 is one access, too
// (PTX ISA 8.3 on, compute capability 7.0 on).

__device__ __forceinline__ void publish_wide(StepWideWord* to, std::uint32_t a, std::uint32_t b,
                                             std::uint32_t c, unsigned mark) {
  store_relaxed_16(to, make_uint4(a, b, c, mark));
}
[[nodiscard]] __device__ __forceinline__ uint4 load_wide(const StepWideWord* from) {
  return load_relaxed_16(from);
}

[[nodiscard]] __device__ __forceinline__ uint2 await_pair(const StepWord* at, unsigned mark) {
  uint2 value[1];
  await_words<1>(mark, value, [at](int) { return at; });
  return value[0];
}

[[nodiscard]] __device__ __forceinline__ std::uint32_t await_word(const StepWord* at,
                                                                  unsigned mark) {
  uint2 word;
  do {
    word = load_relaxed(at);
  } while (word.y != mark);
  return word.x;
}

[[nodiscard]] __device__ __forceinline__ float2 as_floats(uint2 v) {
  return make_float2(__uint_as_float(v.x), __uint_as_float(v.y));
}

/// B of N groups of 32 columns of one activation row, straight from its words: the lane's eight
/// values of group i start at column(i), a multiple of 32.
template <int N, class Column>
__device__ __forceinline__ void await_operand(const Block& block, const StepWord* row,
                                              unsigned mark, uint4 (&b)[N], Column&& column) {
  uint2 v[2 * N];
  await_words<2 * N>(
      mark, v, [&](int i) { return row + (column(i / 2) + block.lane % 4 * 8) / 2 + i % 2 * 2; });
#pragma unroll
  for (int i = 0; i < N; ++i)
    b[i] = make_uint4(v[2 * i].x, v[2 * i].y, v[2 * i + 1].x, v[2 * i + 1].y);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
