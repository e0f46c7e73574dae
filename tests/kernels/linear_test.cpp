#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/numeric_formats.h"
#include "kernels/cpu/pack.h"
#include "tests/helpers/catch.h"
#include "tests/kernels/samples.h"

using namespace caretd::kernels::cpu;
using caretd::test::random_floats;

namespace {

/// A row-major matrix in some format, with the values it stands for.
struct Sample {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  std::vector<double> values;  ///< [rows][cols], scales applied
  RowMajorWeights weights;
};

struct Shape {
  int rows = 0;
  int cols = 0;
  int block_rows = 0;  ///< 0: no scales
  int block_cols = 0;
};

template <typename Bits>
void append(std::vector<std::byte>& bytes, Bits value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof value);
}

double encode(Format format, float value, std::vector<std::byte>& bytes) {
  switch (format) {
    case Format::f32:
      append(bytes, value);
      return static_cast<double>(value);
    case Format::f16: {
      const std::uint16_t bits = caretd::kernels::float_to_f16(value);
      append(bytes, bits);
      return static_cast<double>(caretd::kernels::f16_to_float(bits));
    }
    case Format::bf16: {
      const std::uint16_t bits = caretd::kernels::float_to_bf16(value);
      append(bytes, bits);
      return static_cast<double>(caretd::kernels::bf16_to_float(bits));
    }
    case Format::f8_e4m3: {
      const std::uint8_t bits = caretd::kernels::float_to_f8_e4m3(value);
      append(bytes, bits);
      return static_cast<double>(caretd::kernels::f8_e4m3_to_float(bits));
    }
    case Format::int8:
      break;  // only pack_int8() makes it
  }
  return 0;
}

Sample make_sample(Format format, const Shape& shape) {
  Sample sample;
  const auto count = static_cast<std::size_t>(shape.rows) * static_cast<std::size_t>(shape.cols);
  const std::vector<float> source = random_floats(count, 5);
  for (const float value : source) sample.values.push_back(encode(format, value, sample.bytes));
  sample.weights = {.format = format,
                    .data = sample.bytes.data(),
                    .rows = shape.rows,
                    .cols = shape.cols,
                    .block_rows = shape.block_rows,
                    .block_cols = shape.block_cols};
  if (shape.block_rows == 0) return sample;
  const int scale_cols = (shape.cols + shape.block_cols - 1) / shape.block_cols;
  const int scale_rows = (shape.rows + shape.block_rows - 1) / shape.block_rows;
  for (int i = 0; i < scale_rows * scale_cols; ++i) {
    sample.scales.push_back(0.5F + 0.1F * static_cast<float>(i));
  }
  sample.weights.scales = sample.scales.data();
  for (int r = 0; r < shape.rows; ++r) {
    for (int c = 0; c < shape.cols; ++c) {
      sample.values[static_cast<std::size_t>(r * shape.cols + c)] *=
          static_cast<double>(sample.scales[static_cast<std::size_t>(
              r / shape.block_rows * scale_cols + c / shape.block_cols)]);
    }
  }
  return sample;
}

struct Packed {
  std::vector<float> memory;  // pack() asks for 64; the kernels do not need it
  PackedWeights weights;
};

Packed pack_sample(const RowMajorWeights& from, Orientation orientation) {
  Packed packed;
  const std::size_t bytes = packed_bytes(plan_packing(from, orientation), needs_scales(from));
  packed.memory.resize(bytes / sizeof(float));
  packed.weights = pack(from, orientation, std::as_writable_bytes(std::span(packed.memory)));
  return packed;
}

/// Compares the product of `rows` random rows with a float64 one. value(output, input).
template <typename Value>
void check_product(const Kernels& kernels, const PackedWeights& weights, int rows, bool accumulate,
                   Value value) {
  const auto inputs = static_cast<std::size_t>(weights.inputs);
  const std::vector<float> x = random_floats(inputs * static_cast<std::size_t>(rows), 9);
  std::vector<const float*> pointers;
  for (int r = 0; r < rows; ++r)
    pointers.push_back(x.data() + static_cast<std::size_t>(r) * inputs);
  const int stride = weights.outputs + 3;  // what lies between the rows must stay as it is
  std::vector<float> output(static_cast<std::size_t>(rows * stride), 0.25F);
  std::vector<float> scratch(kLinearScratch);
  kernels.linear({.weights = weights,
                  .inputs = pointers.data(),
                  .rows = rows,
                  .output = output.data(),
                  .output_stride = stride,
                  .accumulate = accumulate},
                 0, weights.tiles(), scratch.data());
  double worst = 0;
  for (int r = 0; r < rows; ++r) {
    for (int o = 0; o < stride; ++o) {
      double expected = accumulate || o >= weights.outputs ? 0.25 : 0.0;
      double magnitude = 1.0;
      for (int i = 0; o < weights.outputs && i < weights.inputs; ++i) {
        const double term =
            value(o, i) * static_cast<double>(pointers[static_cast<std::size_t>(r)][i]);
        expected += term;
        magnitude += std::abs(term);
      }
      const double got = static_cast<double>(output[static_cast<std::size_t>(r * stride + o)]);
      const double off = std::abs(got - expected) / magnitude;
      if (!(off <= worst)) worst = off;
    }
  }
  INFO(rows << " rows, " << weights.outputs << " x " << weights.inputs);
  CHECK(worst < 2e-6);
}

}  // namespace

TEST_CASE("products agree with float64 for every format, row count and ragged edge") {
  const std::vector<Shape> shapes{{64, 96, 0, 0},   {33, 17, 0, 0},      {7, 1, 0, 0},
                                  {50, 70, 16, 32}, {35, 600, 128, 128}, {40, 40, 40, 40}};
  caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
    for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::f8_e4m3}) {
      for (const Shape& shape : shapes) {
        const Sample sample = make_sample(format, shape);
        const Packed packed = pack_sample(sample.weights, Orientation::as_is);
        for (const int rows : {1, 2, 3, 5, 6, 7, 12, 13, 14, 25}) {
          check_product(kernels, packed.weights, rows, rows % 2 == 0, [&](int o, int i) {
            return sample.values[static_cast<std::size_t>(o * shape.cols + i)];
          });
        }
      }
    }
  });
}

TEST_CASE("some rows of a matrix can be packed by themselves, as they are and transposed") {
  // The rows start inside a block, so the first segment of the transposed matrix is short.
  const Shape shape{90, 40, 32, 16};
  const int first = 20;
  const int count = 50;
  for (const Format format : {Format::bf16, Format::f8_e4m3}) {
    const Sample sample = make_sample(format, shape);
    RowMajorWeights some = sample.weights;
    some.first_row = first;
    some.rows = count;
    const auto value = [&](int row, int col) {
      return sample.values[static_cast<std::size_t>((first + row) * shape.cols + col)];
    };
    caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
      for (const int rows : {1, 4, 20}) {
        check_product(kernels, pack_sample(some, Orientation::as_is).weights, rows, false, value);
        check_product(kernels, pack_sample(some, Orientation::transposed).weights, rows, false,
                      [&](int output, int input) { return value(input, output); });
      }
    });
  }
}

TEST_CASE("an output unpacks to the weights it was packed from") {
  const Shape shape{37, 50, 16, 32};
  for (const Format format : {Format::f32, Format::f16, Format::bf16, Format::f8_e4m3}) {
    const Sample sample = make_sample(format, shape);
    const Packed packed = pack_sample(sample.weights, Orientation::as_is);
    std::vector<float> row(static_cast<std::size_t>(shape.cols));
    for (const int output : {0, 15, 16, 36}) {
      unpack_output(packed.weights, output, row);
      for (std::size_t i = 0; i < row.size(); ++i) {
        const double expected = sample.values[static_cast<std::size_t>(output * shape.cols) + i];
        REQUIRE(static_cast<double>(row[i]) == Approx(expected).epsilon(1e-6).margin(1e-30));
      }
    }
  }
}

TEST_CASE("weights rounded to int8 stay within half a step and multiply as what they became") {
  const Shape shape{70, 300, 0, 0};  // the last panel and the last segment are short
  const PackedWeights plan = plan_int8(shape.rows, shape.cols);
  for (const Format format : {Format::f32, Format::bf16}) {
    Sample sample = make_sample(format, shape);
    std::vector<float> memory(packed_bytes(plan, true) / sizeof(float));
    PackedWeights packed;
    for (const int first : {48, 0}) {
      RowMajorWeights some = sample.weights;
      some.first_row = first;
      some.rows = first == 0 ? 48 : shape.rows - 48;
      packed = pack_int8(some, plan, std::as_writable_bytes(std::span(memory)));
    }
    std::vector<float> rounded;
    std::vector<float> row(static_cast<std::size_t>(shape.cols));
    for (int output = 0; output < shape.rows; ++output) {
      unpack_output(packed, output, row);
      for (int i = 0; i < shape.cols; ++i) {
        const int begin = i / kInt8Segment * kInt8Segment;
        const int end = std::min(shape.cols, begin + kInt8Segment);
        const auto at = sample.values.begin() + static_cast<std::ptrdiff_t>(output * shape.cols);
        const double largest = std::abs(*std::max_element(
            at + begin, at + end, [](double a, double b) { return std::abs(a) < std::abs(b); }));
        const double error = static_cast<double>(row[static_cast<std::size_t>(i)]) - at[i];
        REQUIRE(std::abs(error) <= largest / 254 * 1.0001);
      }
      rounded.insert(rounded.end(), row.begin(), row.end());
    }
    caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
      for (const int rows : {1, 3, 12, 30}) {
        check_product(kernels, packed, rows, false, [&](int o, int i) {
          return static_cast<double>(rounded[static_cast<std::size_t>(o * shape.cols + i)]);
        });
      }
    });
  }
}

TEST_CASE("every finite FP8 value survives packing and conversion") {
  std::vector<std::byte> all;
  for (int bits = 0; bits < 256; ++bits) {
    if ((bits & 0x7f) != 0x7f) all.push_back(static_cast<std::byte>(bits));
  }
  const int count = static_cast<int>(all.size());
  const RowMajorWeights column{
      .format = Format::f8_e4m3, .data = all.data(), .rows = count, .cols = 1};
  CHECK(all_finite(column));
  const Packed packed = pack_sample(column, Orientation::as_is);
  caretd::test::for_every_instruction_set([&](const Kernels& kernels) {
    const float one = 1.0F;
    const float* input = &one;
    std::vector<float> output(all.size());
    kernels.linear({.weights = packed.weights,
                    .inputs = &input,
                    .rows = 1,
                    .output = output.data(),
                    .output_stride = count},
                   0, packed.weights.tiles(), nullptr);
    for (std::size_t i = 0; i < all.size(); ++i) {
      REQUIRE(output[i] == caretd::kernels::f8_e4m3_to_float(static_cast<std::uint8_t>(all[i])));
    }
  });
}

TEST_CASE("values that are not numbers are found in every format") {
  const auto damaged = [](Format format, std::vector<std::uint8_t> pattern) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(6 * size_of(format)));
    const RowMajorWeights weights{.format = format, .data = bytes.data(), .rows = 2, .cols = 3};
    CHECK(all_finite(weights));
    std::memcpy(bytes.data() + 4 * size_of(format), pattern.data(), pattern.size());
    return !all_finite(weights);
  };
  CHECK(damaged(Format::f32, {0, 0, 0xc0, 0x7f}));
  CHECK(damaged(Format::f16, {0, 0xfc}));
  CHECK(damaged(Format::bf16, {0x80, 0x7f}));
  CHECK(damaged(Format::f8_e4m3, {0xff}));
}
