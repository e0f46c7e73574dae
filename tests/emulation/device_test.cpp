// The emulated device itself: instructions do what the PTX ISA says, and errors of order show.
#include <numeric>
#include <random>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warp.cuh"
#include "tests/helpers/catch.h"

using namespace caretd::kernels::cuda;

namespace {

constexpr int kLaunches = 40;

float small_number(std::mt19937& random) {
  return static_cast<float>(static_cast<int>(random() % 17) - 8);
}

__nv_bfloat16 bf16(float value) {
  return __float2bfloat16(value);
}

/// c[16, 8] = a[16, 16] b[8, 16]^T, both loaded with ldmatrix from rows of 32 bytes.
void multiply_kernel(const __nv_bfloat16* a, const __nv_bfloat16* b, float* c) {
  CARETD_DYNAMIC_SHARED(memory);
  const int lane = thread_index();
  auto* rows = reinterpret_cast<__nv_bfloat16*>(memory);
  for (int i = lane; i < 16 * 16; i += 32) rows[i] = a[i];
  for (int i = lane; i < 8 * 16; i += 32) rows[16 * 16 + i] = b[i];
  for (int i = lane; i < 8 * 16; i += 32) rows[24 * 16 + i] = bf16(0.0F);
  __syncwarp();
  const std::uint32_t at = shared_address(memory);
  const auto row = [&](int first) {
    return at + static_cast<unsigned>(first + lane % 16) * 32U +
           static_cast<unsigned>(lane / 16) * 16U;
  };
  const uint4 left = load_matrix_x4(row(0));
  const uint4 right = load_matrix_x4(row(16));
  float sums[4] = {};
  multiply_accumulate(sums, left, right.x, right.z);
  for (int i = 0; i < 4; ++i) {
    c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}

/// The second warp doubles what the first one writes.
void hand_over_kernel(float* to, bool with_barrier) {
  CARETD_DYNAMIC_SHARED(memory);
  auto* values = reinterpret_cast<float*>(memory);
  const int lane = thread_index() % 32;
  if (thread_index() < 32) values[lane] = static_cast<float>(lane);
  if (with_barrier) named_barrier_sync(1, 64);
  if (thread_index() >= 32) to[lane] = 2.0F * values[lane];
}

/// Brings `from` by way of a bulk copy.
void copy_kernel(const float* from, float* to, bool waits) {
  CARETD_DYNAMIC_SHARED(memory);
  const std::uint32_t barrier = shared_address(memory);
  const int lane = thread_index();
  if (lane == 0) mbarrier_init(barrier, kBulkLoadArrivals);
  __syncwarp();
  bulk_load(barrier + 128, reinterpret_cast<const std::byte*>(from), 128, barrier, lane);
  if (waits) mbarrier_wait(barrier, 0);
  to[lane] = reinterpret_cast<const float*>(memory + 128)[lane];
}

/// Every block adds to a counter and waits for all others.
void meet_kernel(unsigned* counter) {
  if (thread_index() == 0) add_release(counter, 1);
  wait_for(counter, static_cast<unsigned>(block_count()));
}

/// In how many launches the kernel wrote something else than `expected`.
template <typename Kernel>
int wrong_launches(const std::vector<float>& expected, Kernel&& kernel) {
  int wrong = 0;
  for (int i = 0; i < kLaunches; ++i) {
    std::vector<float> found(expected.size(), -1.0F);
    REQUIRE(kernel(found.data()) == cudaSuccess);
    wrong += found == expected ? 0 : 1;
  }
  return wrong;
}

}  // namespace

TEST_CASE("fragments are loaded and multiplied as matrices", "[emulated]") {
  std::mt19937 random(1);
  std::vector<float> a(16 * 16);
  std::vector<float> b(8 * 16);
  for (float& value : a) value = small_number(random);
  for (float& value : b) value = small_number(random);
  std::vector<__nv_bfloat16> left;
  std::vector<__nv_bfloat16> right;
  std::ranges::transform(a, std::back_inserter(left), bf16);
  std::ranges::transform(b, std::back_inserter(right), bf16);
  std::vector<float> c(16 * 8);
  REQUIRE(launch_kernel(multiply_kernel, 1, 32, 2048, nullptr, left.data(), right.data(),
                        c.data()) == cudaSuccess);
  for (std::size_t row = 0; row < 16; ++row) {
    for (std::size_t col = 0; col < 8; ++col) {
      const float expected =
          std::inner_product(a.begin() + static_cast<std::ptrdiff_t>(row * 16),
                             a.begin() + static_cast<std::ptrdiff_t>(row * 16 + 16),
                             b.begin() + static_cast<std::ptrdiff_t>(col * 16), 0.0F);
      CHECK(c[row * 8 + col] == expected);
    }
  }
}

TEST_CASE("a barrier that is missing shows", "[emulated]") {
  std::vector<float> expected(32);
  for (std::size_t i = 0; i < 32; ++i) expected[i] = 2.0F * static_cast<float>(i);
  const auto launch = [](bool with_barrier) {
    return [=](float* to) {
      return launch_kernel(hand_over_kernel, 1, 64, 1024, nullptr, to, with_barrier);
    };
  };
  CHECK(wrong_launches(expected, launch(true)) == 0);
  CHECK(wrong_launches(expected, launch(false)) > 0);
}

TEST_CASE("a copy that nobody waits for shows", "[emulated]") {
  std::vector<float> from(32);
  std::iota(from.begin(), from.end(), 1.0F);
  const auto launch = [&](bool waits) {
    return [&, waits](float* to) {
      return launch_kernel(copy_kernel, 1, 32, 1024, nullptr, from.data(), to, waits);
    };
  };
  CHECK(wrong_launches(from, launch(true)) == 0);
  CHECK(wrong_launches(from, launch(false)) > 0);
}

TEST_CASE("resident blocks wait for one another", "[emulated]") {
  unsigned counter = 0;
  unsigned* const at = &counter;
  REQUIRE(launch_cooperative(meet_kernel, 12, 64, 0, nullptr, at) == cudaSuccess);
  CHECK(counter == 12);
}
