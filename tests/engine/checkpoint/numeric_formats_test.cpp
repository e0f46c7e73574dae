#include "kernels/cpu/numeric_formats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/helpers/catch.h"

using namespace caretd::kernels;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// The E4M3 code nearest to |value| by exhaustive search, ties to the even code.
int nearest_f8(float value) {
  int best = 0;
  double best_distance = std::numeric_limits<double>::infinity();
  for (int code = 0; code < 0x7f; ++code) {
    const double distance = std::abs(double{f8_e4m3_to_float(static_cast<std::uint8_t>(code))} -
                                     std::abs(double{value}));
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) {
      best = code;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("E4M3 codes decode as the format's table says") {
  STATIC_REQUIRE(f8_e4m3_to_float(0x00) == 0.0F);
  STATIC_REQUIRE(f8_e4m3_to_float(0x01) == 0x1p-9F);  // smallest subnormal
  STATIC_REQUIRE(f8_e4m3_to_float(0x07) == 0x7p-9F);  // largest subnormal
  STATIC_REQUIRE(f8_e4m3_to_float(0x08) == 0x1p-6F);  // smallest normal
  STATIC_REQUIRE(f8_e4m3_to_float(0x38) == 1.0F);
  STATIC_REQUIRE(f8_e4m3_to_float(0xbc) == -1.5F);
  STATIC_REQUIRE(f8_e4m3_to_float(0x7e) == 448.0F);
  REQUIRE(std::isnan(f8_e4m3_to_float(0x7f)));
  REQUIRE(std::isnan(f8_e4m3_to_float(0xff)));
  REQUIRE(std::signbit(f8_e4m3_to_float(0x80)));
  REQUIRE(kF8E4M3ToFloat[0xfe] == -448.0F);
}

TEST_CASE("every narrow value survives the way to float32 and back") {
  for (int code = 0; code < 256; ++code) {
    const float value = f8_e4m3_to_float(static_cast<std::uint8_t>(code));
    if (!std::isnan(value)) CHECK(int{float_to_f8_e4m3(value)} == code);
  }
  int wrong = 0;
  for (int code = 0; code < 65536; ++code) {
    const auto bits = static_cast<std::uint16_t>(code);
    const float half = f16_to_float(bits);
    const float brain = bf16_to_float(bits);
    wrong += !std::isnan(half) && float_to_f16(half) != bits;
    wrong += !std::isnan(brain) && float_to_bf16(brain) != bits;
  }
  CHECK(wrong == 0);
}

TEST_CASE("narrowing rounds to nearest even and treats the extremes as documented") {
  CHECK(float_to_bf16(1.0F + 0x1p-8F) == 0x3f80);  // tie: down to even
  CHECK(float_to_bf16(1.0F + 0x3p-8F) == 0x3f82);  // tie: up to even
  CHECK(float_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(std::isnan(bf16_to_float(float_to_bf16(kNan))));
  CHECK(float_to_f16(65519.0F) == 0x7bff);
  CHECK(float_to_f16(65520.0F) == 0x7c00);
  CHECK(float_to_f16(0x1p-25F) == 0);  // half the smallest: tie to zero
  CHECK(float_to_f16(0x1.8p-25F) == 1);
  CHECK(f16_to_float(0xfc00) == -kInfinity);
  CHECK(std::isnan(f16_to_float(0x7e00)));
  CHECK(std::isnan(f16_to_float(float_to_f16(kNan))));
  CHECK(float_to_f8_e4m3(kInfinity) == 0x7e);
  CHECK(float_to_f8_e4m3(-1e9F) == 0xfe);
  CHECK(float_to_f8_e4m3(0x1p-10F) == 0);  // half the smallest: tie to zero
  CHECK(std::isnan(f8_e4m3_to_float(float_to_f8_e4m3(kNan))));
}

TEST_CASE("float32 rounds to the nearest E4M3 code") {
  std::mt19937 random(7);
  int wrong = 0;
  for (int i = 0; i < 100000; ++i) {
    const float value = std::ldexp(1.0F + static_cast<float>(random() % 4096) / 4096.0F,
                                   static_cast<int>(random() % 20) - 12);
    const float bounded = std::min(value, kLargestF8E4M3);
    wrong += int{float_to_f8_e4m3(value)} != nearest_f8(bounded);
    wrong += int{float_to_f8_e4m3(-value)} != (nearest_f8(bounded) | 0x80);
  }
  CHECK(wrong == 0);
}
