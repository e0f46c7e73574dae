#include "tests/emulation/instructions.h"

#include <array>
#include <bit>
#include <cstring>
#include <mutex>

#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "tests/emulation/device.h"

namespace caretd::emulation {
namespace {

/// Element `i` of a register that holds two.
float bf16_of(std::uint32_t pair, int i) {
  return std::bit_cast<float>(i == 0 ? pair << 16 : pair & 0xFFFF0000U);
}

std::array<float, 256> e4m3_values() {
  std::array<float, 256> values;
  for (unsigned bits = 0; bits < 256; ++bits) {
    const __half_raw half =
        __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(bits), __NV_E4M3);
    values[bits] = __half2float(__half(half));
  }
  return values;
}

std::mutex& guard_of(const void* address) {
  static std::array<std::mutex, 256> guards;
  return guards[reinterpret_cast<std::uintptr_t>(address) / 16 % guards.size()];
}

}  // namespace

void pause_for(const char* what) {
  thread().waits_for = what;
  pause();
}

void store_16(void* to, const uint4& value) {
  const std::scoped_lock lock(guard_of(to));
  std::memcpy(to, &value, 16);
}
uint4 load_16(const void* from) {
  uint4 value;
  const std::scoped_lock lock(guard_of(from));
  std::memcpy(&value, from, 16);
  return value;
}

void finish_copies(int pending) {
  auto& groups = thread().committed;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Thread::Copy& copy : groups.front()) {
      std::byte* to = block().at(copy.to, 16);
      if (copy.from == nullptr) {
        std::memset(to, 0, 16);
      } else {
        std::memcpy(to, copy.from, 16);
      }
    }
    groups.erase(groups.begin());
  }
}

float value_of_e4m3(std::uint8_t bits) {
  static const std::array<float, 256> values = e4m3_values();
  return values[bits];
}

uint4 load_matrices(std::uint32_t row, bool transposed) {
  struct Lane {
    std::uint32_t row;
    std::uint32_t loaded[4];
  } own = {row, {}};
  warp_together(own, [&](Lane* const* lanes) {
    std::uint16_t element[4][8][8];
    for (int i = 0; i < kWarpSize; ++i) {
      if (lanes[i]->row % 16 != 0) stop("ldmatrix of a row that is not aligned to 16 bytes");
      std::memcpy(element[i / 8][i % 8], block().at(lanes[i]->row, 16), 16);
    }
    for (int i = 0; i < kWarpSize; ++i) {
      const int g = i / 4;
      const int t = i % 4 * 2;
      for (int m = 0; m < 4; ++m) {
        const auto low = transposed ? element[m][t][g] : element[m][g][t];
        const auto high = transposed ? element[m][t + 1][g] : element[m][g][t + 1];
        lanes[i]->loaded[m] = std::uint32_t{low} | std::uint32_t{high} << 16;
      }
    }
    block().note_progress();
  });
  return make_uint4(own.loaded[0], own.loaded[1], own.loaded[2], own.loaded[3]);
}

void multiply_bf16(float (&c)[4], const uint4& a, std::uint32_t b0, std::uint32_t b1) {
  struct Lane {
    float* c;
    std::uint32_t a[4];
    std::uint32_t b[2];
  } own = {c, {a.x, a.y, a.z, a.w}, {b0, b1}};
  warp_together(own, [](Lane* const* lanes) {
    float left[16][16];
    float right[16][8];
    for (int i = 0; i < kWarpSize; ++i) {
      const int g = i / 4;
      const int t = i % 4 * 2;
      for (int e = 0; e < 2; ++e) {
        left[g][t + e] = bf16_of(lanes[i]->a[0], e);
        left[g + 8][t + e] = bf16_of(lanes[i]->a[1], e);
        left[g][t + 8 + e] = bf16_of(lanes[i]->a[2], e);
        left[g + 8][t + 8 + e] = bf16_of(lanes[i]->a[3], e);
        right[t + e][g] = bf16_of(lanes[i]->b[0], e);
        right[t + 8 + e][g] = bf16_of(lanes[i]->b[1], e);
      }
    }
    for (int row = 0; row < 16; ++row) {
      float sum[8] = {};
      for (int k = 0; k < 16; ++k) {
        for (int col = 0; col < 8; ++col) sum[col] += left[row][k] * right[k][col];
      }
      for (int col = 0; col < 8; ++col) {
        lanes[row % 8 * 4 + col / 2]->c[row / 8 * 2 + col % 2] += sum[col];
      }
    }
    block().note_progress();
  });
}

void multiply_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  struct Lane {
    float* c;
    const std::uint32_t* a;
    const std::uint32_t* b;
  } own = {c, a, b};
  warp_together(own, [](Lane* const* lanes) {
    // The low 13 bits do not count.
    const auto value = [](std::uint32_t bits) { return std::bit_cast<float>(bits & ~0x1FFFU); };
    for (int i = 0; i < kWarpSize; ++i) {
      for (int at = 0; at < 4; ++at) {
        const int row = i / 4 + at / 2 * 8;
        const int col = i % 4 * 2 + at % 2;
        float sum = 0.0F;
        for (int k = 0; k < 8; ++k) {
          sum += value(lanes[row % 8 * 4 + k % 4]->a[k / 4 * 2 + row / 8]) *
                 value(lanes[col * 4 + k % 4]->b[k / 4]);
        }
        lanes[i]->c[at] += sum;
      }
    }
    block().note_progress();
  });
}

void multiply_e4m3(float (&d)[8], const Operand& a, const Operand& b) {
  constexpr int kDepth = 32;
  struct Lane {
    float* d;
    const Operand* a;
    const Operand* b;
  } own = {d, &a, &b};
  Thread& self = thread();
  together(block().warpgroup_of(self), kWarpgroupSize, self.number % kWarpgroupSize, own,
           [](Lane* const* lanes) {
             const auto read = [](const Operand& operand, int row, float* values) {
               for (int core = 0; core < kDepth / 16; ++core) {
                 const std::byte* at =
                     block().at(operand.address + static_cast<unsigned>(row / 8) * operand.stride +
                                    static_cast<unsigned>(core) * operand.leading +
                                    static_cast<unsigned>(row % 8) * 16,
                                16);
                 for (int k = 0; k < 16; ++k) {
                   values[core * 16 + k] = value_of_e4m3(static_cast<std::uint8_t>(at[k]));
                 }
               }
             };
             float left[64][kDepth];
             float right[16][kDepth];
             for (int row = 0; row < 64; ++row) read(*lanes[0]->a, row, left[row]);
             for (int row = 0; row < 16; ++row) read(*lanes[0]->b, row, right[row]);
             for (int i = 0; i < kWarpgroupSize; ++i) {
               for (int at = 0; at < 8; ++at) {
                 const int row = i / 32 * 16 + i % 32 / 4 + at / 2 % 2 * 8;
                 const int col = at / 4 * 8 + i % 4 * 2 + at % 2;
                 float sum = 0.0F;
                 for (int k = 0; k < kDepth; ++k) sum += left[row][k] * right[col][k];
                 lanes[i]->d[at] += sum;
               }
             }
             block().note_progress();
           });
}

}  // namespace caretd::emulation
