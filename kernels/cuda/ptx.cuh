// Thin names for the PTX instructions the kernels use (PTX ISA 8.x). Compute capability 9.0 has the
// bulk copy engine; below it the same functions copy with cp.async.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>

namespace caretd::kernels::cuda {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define CARETD_BULK_COPY 1
#else
#define CARETD_BULK_COPY 0
#endif

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define CARETD_REGISTER_TRANSFER 1
#define CARETD_WARPGROUP_PRODUCTS 1
#else
#define CARETD_REGISTER_TRANSFER 0
#define CARETD_WARPGROUP_PRODUCTS 0
#endif

// --- a thread's place ------------------------------------------------------------------------

// Volatile: read where they are asked for, not kept in registers from an earlier time.
__device__ __forceinline__ int block_index() {
  int index = 0;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(index));
  return index;
}
__device__ __forceinline__ int block_count() {
  int count = 0;
  asm volatile("mov.u32 %0, %%nctaid.x;" : "=r"(count));
  return count;
}
__device__ __forceinline__ int thread_index() {
  int index = 0;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
}

/// Declares `name`, the block's dynamic shared memory, in a kernel.
#define CARETD_DYNAMIC_SHARED(name) extern __shared__ __align__(128) std::byte name[]

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// --- mbarrier: arrival counters in shared memory ---------------------------------------------

__device__ __forceinline__ void mbarrier_init(std::uint32_t barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

__device__ __forceinline__ void mbarrier_arrive(std::uint32_t barrier) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(barrier)
               : "memory");
}

/// Returns once the phase with this parity has completed.
__device__ __forceinline__ void mbarrier_wait(std::uint32_t barrier, unsigned parity) {
#if CARETD_BULK_COPY
  asm volatile(
      "{ .reg .pred done;\n"
      "wait: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
      "@!done bra wait; }" ::"r"(barrier),
      "r"(parity)
      : "memory");
#else
  unsigned done = 0;
  while (done == 0) {
    asm volatile(
        "{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
#endif
}

/// Makes initialised barriers known to the bulk copy engine.
__device__ __forceinline__ void mbarrier_init_fence() {
#if CARETD_BULK_COPY
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// --- copies from global to shared memory -----------------------------------------------------

__device__ __forceinline__ void copy_async_16(std::uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

/// Copies 16 bytes, or writes 16 zero bytes where `valid` is false.
__device__ __forceinline__ void copy_async_16(std::uint32_t to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}

__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// How many arrivals a bulk load signals to the barrier of a stage.
inline constexpr unsigned kBulkLoadArrivals = CARETD_BULK_COPY ? 1 : 32;

/// Loads `bytes` (a multiple of 16) that will be read once; called by one whole warp. The barrier's
/// phase completes when the data is there.
__device__ __forceinline__ void bulk_load(std::uint32_t to, const std::byte* from, unsigned bytes,
                                          std::uint32_t barrier, int lane) {
#if CARETD_BULK_COPY
  if (lane == 0) {
    std::uint64_t policy = 0;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(barrier), "l"(policy)
        : "memory");
  }
  __syncwarp();
#else
  for (unsigned at = lane * 16; at < bytes; at += 32 * 16) copy_async_16(to + at, from + at);
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

/// Loads `rows` (at most 32) rows of `bytes` that lie one behind the other to rows `pitch` apart;
/// called by one whole warp.
__device__ __forceinline__ void bulk_load_rows(std::uint32_t to, int pitch, const std::byte* from,
                                               int rows, unsigned bytes, std::uint32_t barrier,
                                               int lane) {
#if CARETD_BULK_COPY
  if (lane == 0) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier),
                 "r"(bytes * rows)
                 : "memory");
  }
  __syncwarp();
  if (lane < rows) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(to + lane * pitch),
        "l"(from + lane * bytes), "r"(bytes), "r"(barrier)
        : "memory");
  }
  __syncwarp();
#else
  for (int row = 0; row < rows; ++row) {
    for (unsigned at = lane * 16; at < bytes; at += 32 * 16) {
      copy_async_16(to + row * pitch + at, from + row * bytes + at);
    }
  }
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

/// Orders ordinary accesses of this thread and bulk copies that it starts or releases.
__device__ __forceinline__ void fence_bulk_copies() {
#if CARETD_BULK_COPY
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}

/// Asks for `bytes` to be brought into L2; called by one whole warp.
__device__ __forceinline__ void prefetch_l2(const std::byte* from, unsigned bytes, int lane) {
#if CARETD_BULK_COPY
  if (lane == 0) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
  }
#else
  for (unsigned at = lane * 128; at < bytes; at += 32 * 128) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(from + at));
  }
#endif
}

// --- synchronisation -------------------------------------------------------------------------

/// Barrier `id` (1-15) among `threads` threads of the block.
__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void add_release(unsigned* counter, unsigned value) {
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(counter), "r"(value) : "memory");
}
__device__ __forceinline__ unsigned fetch_add_acq_rel(unsigned* counter, unsigned value) {
  unsigned old = 0;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
               : "=r"(old)
               : "l"(counter), "r"(value)
               : "memory");
  return old;
}
__device__ __forceinline__ unsigned load_acquire(const unsigned* counter) {
  unsigned value = 0;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
  return value;
}
// Accesses of 64 and of 128 bits, which are not torn. A relaxed access of type .b128 is a single
// one on compute capability 7.0 and later (PTX ISA 8.3).
__device__ __forceinline__ void store_relaxed(std::uint64_t* to, uint2 value) {
  asm volatile(
      "{ .reg .b64 word; mov.b64 word, {%1, %2}; st.relaxed.gpu.global.b64 [%0], word; }" ::"l"(to),
      "r"(value.x), "r"(value.y)
      : "memory");
}
__device__ __forceinline__ uint2 load_relaxed(const std::uint64_t* from) {
  uint2 v;
  asm volatile("{ .reg .b64 word; ld.relaxed.gpu.global.b64 word, [%2]; mov.b64 {%0, %1}, word; }"
               : "=r"(v.x), "=r"(v.y)
               : "l"(from)
               : "memory");
  return v;
}
/// Two accesses of 64 bits, of neighbours, in one go.
__device__ __forceinline__ uint4 load_relaxed_pair(const std::uint64_t* from) {
  uint4 v;
  asm volatile(
      "{ .reg .b64 a, b; ld.relaxed.gpu.global.v2.b64 {a, b}, [%4];\n"
      "mov.b64 {%0, %1}, a; mov.b64 {%2, %3}, b; }"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(from)
      : "memory");
  return v;
}
__device__ __forceinline__ void store_relaxed_16(void* to, uint4 value) {
  asm volatile(
      "{ .reg .b64 low, high; .reg .b128 word; mov.b64 low, {%1, %2}; mov.b64 high, {%3, %4};\n"
      "mov.b128 word, {low, high}; st.relaxed.gpu.global.b128 [%0], word; }" ::"l"(to),
      "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
      : "memory");
}
__device__ __forceinline__ uint4 load_relaxed_16(const void* from) {
  uint4 v;
  asm volatile(
      "{ .reg .b64 low, high; .reg .b128 word; ld.relaxed.gpu.global.b128 word, [%4];\n"
      "mov.b128 {low, high}, word; mov.b64 {%0, %1}, low; mov.b64 {%2, %3}, high; }"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(from)
      : "memory");
  return v;
}

__device__ __forceinline__ void store_shared(std::uint32_t address, uint2 value) {
  asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(address), "r"(value.x), "r"(value.y)
               : "memory");
}
__device__ __forceinline__ void store_shared(std::uint32_t address, std::uint32_t value) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}
__device__ __forceinline__ float load_shared_float(std::uint32_t address) {
  float value = 0.0F;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}

/// Takes or gives back registers, so that a thread of this warpgroup has N of them (PTX ISA 8.0,
/// setmaxnreg); called by all four warps. The block must have been launched with enough.
template <int N>
__device__ __forceinline__ void grow_registers() {
#if CARETD_REGISTER_TRANSFER
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}
template <int N>
__device__ __forceinline__ void shrink_registers() {
#if CARETD_REGISTER_TRANSFER
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

// --- matrix fragments ------------------------------------------------------------------------

__device__ __forceinline__ uint4 load_matrix_x4(std::uint32_t address) {
  uint4 r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(address));
  return r;
}
__device__ __forceinline__ uint4 load_matrix_x4_transposed(std::uint32_t address) {
  uint4 r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(address));
  return r;
}

/// c[16 x 8] += a[16 x 16] * b[16 x 8], BF16 operands, float accumulators.
/// Lane (g = lane / 4, t = lane % 4) holds c rows g, g+8 and columns 2t, 2t+1.
__device__ __forceinline__ void multiply_accumulate(float (&c)[4], const uint4& a, std::uint32_t b0,
                                                    std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

/// The nearest TF32 value, ties away from zero.
__device__ __forceinline__ std::uint32_t round_to_tf32(float value) {
  std::uint32_t rounded = 0;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

/// c[16 x 8] += a[16 x 8] b[8 x 8], TF32 operands. Lane (g = lane / 4, t = lane % 4) holds
/// a[g + 8 i][t + 4 j] in a[2 j + i] and b[t + 4 i][g] in b[i].
__device__ __forceinline__ void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#if CARETD_WARPGROUP_PRODUCTS
/// Rounds four values of at most 448 to E4M3, the first one in the lowest byte.
__device__ __forceinline__ std::uint32_t narrow_to_fp8(float4 v) {
  std::uint32_t bytes = 0;
  asm("{ .reg .b16 low, high;\n"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
      "mov.b32 %0, {low, high}; }"
      : "=r"(bytes)
      : "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w));
  return bytes;
}
/// What E4M3 bytes stand for, exactly.
__device__ __forceinline__ float4 value_of_fp8(std::uint32_t bytes) {
  float4 v;
  asm("{ .reg .b16 low, high, a, b; .reg .b32 first, second;\n"
      "mov.b32 {low, high}, %4;\n"
      "cvt.rn.f16x2.e4m3x2 first, low;\n"
      "cvt.rn.f16x2.e4m3x2 second, high;\n"
      "mov.b32 {a, b}, first; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;\n"
      "mov.b32 {a, b}, second; cvt.f32.f16 %2, a; cvt.f32.f16 %3, b; }"
      : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
      : "r"(bytes));
  return v;
}
#endif

}  // namespace caretd::kernels::cuda
