// Thin names for what compute capability 9.0a adds for matrix products: tiles copied by the bulk
// tensor engine, and products of a warpgroup (PTX ISA 8.x, "wgmma"). Only for files that are
// compiled for 9.0a alone.
#pragma once

#include <cuda.h>

#include "kernels/cuda/warp.cuh"

namespace caretd::kernels::cuda {

// --- copies ----------------------------------------------------------------------------------

/// Arrives at a barrier whose phase also waits for `bytes` of copies.
__device__ __forceinline__ void mbarrier_arrive_expect(std::uint32_t barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

/// Copies the map's box at (row, col), zeros where it leaves the matrix; called by one thread.
__device__ __forceinline__ void tile_copy(std::uint32_t to, const CUtensorMap& map, int row,
                                          int col, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3}], [%4];" ::"r"(to),
      "l"(&map), "r"(col), "r"(row), "r"(barrier)
      : "memory");
}

/// Copies the box of packed strips (tensor_map.h) that begins with the given word, chunk and tile.
__device__ __forceinline__ void strips_copy(std::uint32_t to, const CUtensorMap& map, int word,
                                            int chunk, int tile, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(&map), "r"(word), "r"(0), "r"(chunk), "r"(tile), "r"(barrier)
      : "memory");
}

__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/// Makes this thread's stores to shared memory visible to wgmma and the copy engines.
__device__ __forceinline__ void fence_shared_for_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ uint4 load_shared_16(std::uint32_t address) {
  uint4 r;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "r"(address)
               : "memory");
  return r;
}
__device__ __forceinline__ void store_shared_16(std::uint32_t address, const uint4& value) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

/// Adds to two neighbouring floats in global memory without waiting for them.
__device__ __forceinline__ void add_to_pair(float* to, float first, float second) {
  asm volatile("red.global.add.v2.f32 [%0], {%1, %2};" ::"l"(to), "f"(first), "f"(second)
               : "memory");
}

// --- registers of a warpgroup ----------------------------------------------------------------

template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- operands in shared memory ---------------------------------------------------------------

/// How an operand lies there. core_matrices: 8 rows x 16 bytes each, contiguous. swizzle_n: rows of
/// n bytes whose 16-byte pieces are exchanged within 8 rows, as the tensor copies leave them.
enum class SharedLayout : std::uint64_t { core_matrices = 0, swizzle_128 = 1, swizzle_64 = 2 };

/// Descriptor of an operand ("matrix descriptor"). Strides in bytes; operands along K:
/// `stride` leads to the next 8 rows, `leading` to the next core matrix along K (core_matrices
/// only). Operands along N (transposed): `stride` leads to the next 8 of K, `leading` to the next
/// 64 of N.
__device__ __forceinline__ std::uint64_t shared_operand(std::uint32_t address, unsigned leading,
                                                        unsigned stride, SharedLayout layout) {
  return static_cast<std::uint64_t>((address & 0x3FFFFU) >> 4) |
         static_cast<std::uint64_t>(leading >> 4) << 16 |
         static_cast<std::uint64_t>(stride >> 4) << 32 | static_cast<std::uint64_t>(layout) << 62;
}
/// The same operand `bytes` further on.
__device__ __forceinline__ std::uint64_t operand_at(std::uint64_t operand, unsigned bytes) {
  return operand + (bytes >> 4);
}

// --- products --------------------------------------------------------------------------------
// 64 x N results of a warpgroup: warp w holds rows 16 w to 16 w + 15; in lane (g = lane / 4,
// t = lane % 4), d[4 j + 2 h + i] is row g + 8 h, column 8 j + 2 t + i.

/// Orders earlier accesses to registers and shared memory before the products that follow.
__device__ __forceinline__ void products_begin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most kPending committed groups are under way.
template <int kPending>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// clang-format off
#define CARETD_REGISTERS_32 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define CARETD_REGISTERS_64 \
  CARETD_REGISTERS_32 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define CARETD_REGISTERS_128 \
  CARETD_REGISTERS_64 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define CARETD_FLOATS_8(d, i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), \
  "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define CARETD_FLOATS_32(d, i) \
  CARETD_FLOATS_8(d, i), CARETD_FLOATS_8(d, i + 8), \
  CARETD_FLOATS_8(d, i + 16), CARETD_FLOATS_8(d, i + 24)
#define CARETD_FLOATS_64(d, i) CARETD_FLOATS_32(d, i), CARETD_FLOATS_32(d, i + 32)
// clang-format on

/// d = a b^T, or d += a b^T, over 16 of K; both operands in shared memory, along K.
__device__ __forceinline__ void multiply_shared(float (&d)[32], std::uint64_t a, std::uint64_t b,
                                                bool add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" CARETD_REGISTERS_32
      "}, %32, %33, p, 1, 1, 0, 0; }"
      : CARETD_FLOATS_32(d, 0)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}
__device__ __forceinline__ void multiply_shared(float (&d)[64], std::uint64_t a, std::uint64_t b,
                                                bool add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" CARETD_REGISTERS_64
      "}, %64, %65, p, 1, 1, 0, 0; }"
      : CARETD_FLOATS_64(d, 0)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}
__device__ __forceinline__ void multiply_shared(float (&d)[128], std::uint64_t a, std::uint64_t b,
                                                bool add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" CARETD_REGISTERS_128
      "}, %128, %129, p, 1, 1, 0, 0; }"
      : CARETD_FLOATS_64(d, 0), CARETD_FLOATS_64(d, 64)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}

/// d += a b over 16 of K: a in registers as mma.m16n8k16 takes it, b in shared memory along N.
__device__ __forceinline__ void multiply_registers(float (&d)[32], const uint4& a,
                                                   std::uint64_t b) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" CARETD_REGISTERS_32
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1; }"
      : CARETD_FLOATS_32(d, 0)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(b));
}
__device__ __forceinline__ void multiply_registers(float (&d)[64], const uint4& a,
                                                   std::uint64_t b) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" CARETD_REGISTERS_64
      "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1; }"
      : CARETD_FLOATS_64(d, 0)
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(b));
}

/// d = a b^T over 64 of K in one go, E4M3 operands in shared memory, along K; `step` bytes lead to
/// the second half of both. Products are summed with some 14 significant bits.
__device__ __forceinline__ void multiply_shared_fp8(float (&d)[8], std::uint64_t a, std::uint64_t b,
                                                    unsigned step) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n16k32.f32.e4m3.e4m3 {%0, %1, %2, %3, %4, %5, %6, %7}, "
      "%8, %9, 0, 1, 1;\n"
      "wgmma.mma_async.sync.aligned.m64n16k32.f32.e4m3.e4m3 {%0, %1, %2, %3, %4, %5, %6, %7}, "
      "%10, %11, 1, 1, 1;"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3]), "=f"(d[4]), "=f"(d[5]), "=f"(d[6]),
        "=f"(d[7])
      : "l"(a), "l"(b), "l"(operand_at(a, step)), "l"(operand_at(b, step)));
}

/// Keeps what reads d behind what precedes: the compiler does not know that products are awaited.
template <int N>
__device__ __forceinline__ void products_ready(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#undef CARETD_REGISTERS_32
#undef CARETD_REGISTERS_64
#undef CARETD_REGISTERS_128
#undef CARETD_FLOATS_8
#undef CARETD_FLOATS_32
#undef CARETD_FLOATS_64

// --- results -----------------------------------------------------------------------------------

/// Writes 16 neighbouring BF16 columns of a row: a lane gives columns 2 t, 2 t + 1 of the first and
/// of the second eight, lanes exchange halves and write 8 bytes each. All lanes of a warp call it.
__device__ __forceinline__ void store_sixteen(__nv_bfloat16* row, bool valid, std::uint32_t first,
                                              std::uint32_t second, int lane) {
  const bool odd = lane % 2 != 0;
  const std::uint32_t other = __shfl_xor_sync(~0U, odd ? first : second, 1);
  const uint2 out = odd ? make_uint2(other, second) : make_uint2(first, other);
  if (valid) {
    *reinterpret_cast<uint2*>(row + (odd ? 8 : 0) + lane % 4 / 2 * 4) = out;
  }
}

/// Position in a ring of buffers; `phase` is the parity of the current round.
template <int kSlots>
struct RingPosition {
  int slot = 0;
  unsigned phase = 0;

  __device__ __forceinline__ void advance() {
    if (++slot == kSlots) {
      slot = 0;
      phase ^= 1;
    }
  }
};

}  // namespace caretd::kernels::cuda
