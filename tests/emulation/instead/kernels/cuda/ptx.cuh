// Stands in for kernels/cuda/ptx.cuh: the same functions on the emulated device, which has what
// compute capability 9.0a has, or what 8.9 has.
#pragma once

#include <cstring>

#include "tests/emulation/instructions.h"
#include "tests/emulation/intrinsics.h"

namespace caretd::kernels::cuda {

#define CARETD_BULK_COPY (CARETD_DEVICE_CAPABILITY >= 900)
#define CARETD_REGISTER_TRANSFER (CARETD_DEVICE_CAPABILITY == 900)
#define CARETD_WARPGROUP_PRODUCTS (CARETD_DEVICE_CAPABILITY == 900)

inline int block_index() {
  return static_cast<int>(emulation::block().index().x);
}
inline int block_count() {
  return static_cast<int>(emulation::block().grid().blocks.x);
}
inline int thread_index() {
  return emulation::thread().number;
}

#define CARETD_DYNAMIC_SHARED(name) std::byte* const name = ::caretd::emulation::block().shared()

inline std::uint32_t shared_address(const void* pointer) {
  return emulation::block().address_of(pointer);
}

// --- mbarrier ----------------------------------------------------------------------------------

inline void mbarrier_init(std::uint32_t barrier, unsigned arrivals) {
  emulation::block().init_barrier(barrier, arrivals);
}
inline void mbarrier_arrive(std::uint32_t barrier) {
  emulation::block().arrive(barrier);
}
inline void mbarrier_wait(std::uint32_t barrier, unsigned parity) {
  emulation::wait_until("a barrier in shared memory",
                        [=] { return emulation::block().completed(barrier, parity); });
}
inline void mbarrier_init_fence() {}

// --- copies ------------------------------------------------------------------------------------

inline void copy_async_16(std::uint32_t to, const void* from, bool valid = true) {
  emulation::thread().uncommitted.push_back({to, valid ? from : nullptr});
}
inline void copy_async_commit() {
  emulation::Thread& own = emulation::thread();
  own.committed.push_back(std::move(own.uncommitted));
  own.uncommitted.clear();
}
/// As late as the program allows.
template <int kPending>
void copy_async_wait() {
  emulation::finish_copies(kPending);
}

#if CARETD_BULK_COPY
inline constexpr unsigned kBulkLoadArrivals = 1;

inline void bulk_load(std::uint32_t to, const std::byte* from, unsigned bytes,
                      std::uint32_t barrier, int lane) {
  if (lane == 0) {
    emulation::block().copy_later(to, from, bytes, barrier);
    emulation::block().arrive(barrier, bytes);
  }
  __syncwarp();
}
inline void bulk_load_rows(std::uint32_t to, int pitch, const std::byte* from, int rows,
                           unsigned bytes, std::uint32_t barrier, int lane) {
  if (lane == 0) emulation::block().arrive(barrier, bytes * static_cast<unsigned>(rows));
  __syncwarp();
  if (lane < rows) {
    emulation::block().copy_later(to + static_cast<unsigned>(lane * pitch),
                                  from + static_cast<unsigned>(lane) * bytes, bytes, barrier);
  }
  __syncwarp();
}
#else
inline constexpr unsigned kBulkLoadArrivals = 32;

inline void bulk_load_rows(std::uint32_t to, int pitch, const std::byte* from, int rows,
                           unsigned bytes, std::uint32_t barrier, int lane) {
  emulation::Block& block = emulation::block();
  block.later([=, &block] {
    for (int row = 0; row < rows; ++row) {
      for (unsigned at = static_cast<unsigned>(lane) * 16; at < bytes; at += 32 * 16) {
        std::memcpy(block.at(to + static_cast<unsigned>(row * pitch) + at, 16),
                    from + static_cast<unsigned>(row) * bytes + at, 16);
      }
    }
    block.arrive(barrier);
  });
}
inline void bulk_load(std::uint32_t to, const std::byte* from, unsigned bytes,
                      std::uint32_t barrier, int lane) {
  bulk_load_rows(to, 0, from, 1, bytes, barrier, lane);
}
#endif
inline void fence_bulk_copies() {}
inline void prefetch_l2(const std::byte*, unsigned, int) {}

// --- synchronisation -----------------------------------------------------------------------------

inline void named_barrier_sync(int id, int threads) {
  emulation::block().sync(id, threads);
}
inline void named_barrier_arrive(int id, int threads) {
  emulation::block().arrive_at(id, threads);
}

inline void add_release(unsigned* counter, unsigned value) {
  std::atomic_ref(*counter).fetch_add(value);
  emulation::block().note_progress();
}
inline unsigned fetch_add_acq_rel(unsigned* counter, unsigned value) {
  emulation::block().note_progress();
  return std::atomic_ref(*counter).fetch_add(value);
}
inline unsigned load_acquire(const unsigned* counter) {
  emulation::pause_for("a counter in global memory");
  return std::atomic_ref(*const_cast<unsigned*>(counter)).load();
}

inline void store_relaxed(std::uint64_t* to, uint2 value) {
  std::atomic_ref(*to).store(std::bit_cast<std::uint64_t>(value));
  emulation::block().note_progress();
}
inline uint2 load_relaxed(const std::uint64_t* from) {
  emulation::pause_for("a word in global memory");
  return std::bit_cast<uint2>(std::atomic_ref(*const_cast<std::uint64_t*>(from)).load());
}
inline uint4 load_relaxed_pair(const std::uint64_t* from) {
  const uint2 first = load_relaxed(from);
  const uint2 second = load_relaxed(from + 1);
  return make_uint4(first.x, first.y, second.x, second.y);
}
inline void store_relaxed_16(void* to, uint4 value) {
  emulation::store_16(to, value);
  emulation::block().note_progress();
}
inline uint4 load_relaxed_16(const void* from) {
  emulation::pause_for("a wide word in global memory");
  return emulation::load_16(from);
}

inline void store_shared(std::uint32_t address, uint2 value) {
  std::memcpy(emulation::block().at(address, 8), &value, 8);
}
inline void store_shared(std::uint32_t address, std::uint32_t value) {
  std::memcpy(emulation::block().at(address, 4), &value, 4);
}
inline float load_shared_float(std::uint32_t address) {
  float value = 0.0F;
  std::memcpy(&value, emulation::block().at(address, 4), 4);
  return value;
}

template <int>
void grow_registers() {}
template <int>
void shrink_registers() {}

// --- matrix fragments ----------------------------------------------------------------------------

inline uint4 load_matrix_x4(std::uint32_t address) {
  return emulation::load_matrices(address, false);
}
inline uint4 load_matrix_x4_transposed(std::uint32_t address) {
  return emulation::load_matrices(address, true);
}
inline void multiply_accumulate(float (&c)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
  emulation::multiply_bf16(c, a, b0, b1);
}
inline std::uint32_t round_to_tf32(float value) {
  return (std::bit_cast<std::uint32_t>(value) + 0x1000U) & ~0x1FFFU;
}
inline void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  emulation::multiply_tf32(c, a, b);
}

inline std::uint32_t narrow_to_fp8(float4 v) {
  const auto byte = [](float x) {
    return std::uint32_t{__nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3)};
  };
  return byte(v.x) | byte(v.y) << 8 | byte(v.z) << 16 | byte(v.w) << 24;
}
inline float4 value_of_fp8(std::uint32_t bytes) {
  const auto value = [=](int i) {
    return emulation::value_of_e4m3(static_cast<std::uint8_t>(bytes >> (8 * i)));
  };
  return make_float4(value(0), value(1), value(2), value(3));
}

}  // namespace caretd::kernels::cuda
