#include "kernels/cpu/pack.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/numeric_formats.h"

namespace caretd::kernels::cpu {

namespace {

std::size_t round_up_to_line(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

std::size_t data_bytes(const PackedWeights& plan) {
  return static_cast<std::size_t>(plan.panels()) * kPanel * static_cast<std::size_t>(plan.inputs) *
         static_cast<std::size_t>(size_of(plan.format));
}

std::size_t scale_count(const PackedWeights& plan) {
  return static_cast<std::size_t>(plan.panels()) * static_cast<std::size_t>(plan.segments) * kPanel;
}

/// Where element (output, input) of the packed matrix is in the source, in elements.
struct SourceStrides {
  std::ptrdiff_t output = 0;
  std::ptrdiff_t input = 0;
};

template <typename Bits>
void pack_elements(const std::byte* from, SourceStrides stride, const PackedWeights& plan,
                   std::byte* to) {
  for (int first = 0; first < plan.outputs; first += kPanel) {
    const int lanes = std::min(kPanel, plan.outputs - first);
    for (int i = 0; i < plan.inputs; ++i) {
      Bits panel_row[kPanel] = {};
      const std::byte* source = from + (first * stride.output + i * stride.input) *
                                           static_cast<std::ptrdiff_t>(sizeof(Bits));
      for (int lane = 0; lane < lanes; ++lane) {
        std::memcpy(&panel_row[lane],
                    source + lane * stride.output * static_cast<std::ptrdiff_t>(sizeof(Bits)),
                    sizeof(Bits));
      }
      std::memcpy(to, panel_row, sizeof panel_row);
      to += sizeof panel_row;
    }
  }
}

float source_scale(const RowMajorWeights& from, int row, int col) {
  const float load_factor = from.format == Format::f8_e4m3 ? kF8LoadFactor : 1.0F;
  if (from.scales == nullptr) return 1.0F / load_factor;
  const int scale_cols = (from.cols + from.block_cols - 1) / from.block_cols;
  const std::ptrdiff_t block =
      static_cast<std::ptrdiff_t>(row / from.block_rows) * scale_cols + col / from.block_cols;
  return from.scales[block] / load_factor;
}

void pack_scales(const RowMajorWeights& from, Orientation orientation, const PackedWeights& plan,
                 float* to) {
  for (int panel = 0; panel < plan.panels(); ++panel) {
    for (int segment = 0; segment < plan.segments; ++segment) {
      const int input = segment == 0 ? 0 : plan.segment_end(segment - 1);
      for (int lane = 0; lane < kPanel; ++lane) {
        const int output = std::min(panel * kPanel + lane, plan.outputs - 1);
        *to++ = orientation == Orientation::as_is
                    ? source_scale(from, from.first_row + output, input)
                    : source_scale(from, from.first_row + input, output);
      }
    }
  }
}

float element(Format format, const std::byte* data, std::size_t index) {
  const std::byte* at = data + index * static_cast<std::size_t>(size_of(format));
  const auto bits = [at]<typename Bits>(Bits value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (format) {
    case Format::f32:
      return bits(0.0F);
    case Format::f16:
      return f16_to_float(bits(std::uint16_t{}));
    case Format::bf16:
      return bf16_to_float(bits(std::uint16_t{}));
    case Format::f8_e4m3:
      return f8_e4m3_to_float(bits(std::uint8_t{})) * kF8LoadFactor;
    case Format::int8:
      return bits(std::int8_t{});
  }
  return 0.0F;
}

/// Rounds one output's inputs [begin, end) into every kPanel-th byte of `to`; returns their scale.
float round_segment(std::span<const float> row, int begin, int end, std::int8_t* to) {
  constexpr float kLargest = 127.0F;
  float largest = 0.0F;
  for (int i = begin; i < end; ++i) {
    largest = std::max(largest, std::abs(row[static_cast<std::size_t>(i)]));
  }
  const float inverse = largest > 0.0F ? kLargest / largest : 0.0F;
  for (int i = begin; i < end; ++i) {
    const float steps = row[static_cast<std::size_t>(i)] * inverse;
    to[static_cast<std::ptrdiff_t>(i) * kPanel] =
        static_cast<std::int8_t>(steps + std::copysign(0.5F, steps));
  }
  return largest / kLargest;
}

/// Whether any element has all bits of `exponent` set: infinity or NaN in its format.
template <typename Bits>
bool any_with_exponent(const std::byte* data, std::size_t count, Bits exponent) {
  bool found = false;
  for (std::size_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * sizeof bits, sizeof bits);
    found |= (bits & exponent) == exponent;
  }
  return found;
}

}  // namespace

PackedWeights plan_packing(const RowMajorWeights& from, Orientation orientation) {
  PackedWeights plan;
  plan.format = from.format;
  const bool as_is = orientation == Orientation::as_is;
  plan.outputs = as_is ? from.rows : from.cols;
  plan.inputs = as_is ? from.cols : from.rows;
  plan.first_segment = plan.segment = plan.inputs;
  if (from.scales == nullptr) return plan;
  plan.segment = as_is ? from.block_cols : from.block_rows;
  plan.first_segment =
      std::min(plan.inputs, as_is ? plan.segment : plan.segment - from.first_row % plan.segment);
  plan.segments = 1 + (plan.inputs - plan.first_segment + plan.segment - 1) / plan.segment;
  return plan;
}

std::size_t packed_bytes(const PackedWeights& plan, bool scaled) {
  const std::size_t scales = scaled ? scale_count(plan) * sizeof(float) : 0;
  return round_up_to_line(data_bytes(plan)) + round_up_to_line(scales);
}

PackedWeights pack(const RowMajorWeights& from, Orientation orientation,
                   std::span<std::byte> memory) {
  PackedWeights packed = plan_packing(from, orientation);
  assert(memory.size() >= packed_bytes(packed, needs_scales(from)));
  const SourceStrides strides =
      orientation == Orientation::as_is ? SourceStrides{from.cols, 1} : SourceStrides{1, from.cols};
  const std::byte* source =
      from.data + static_cast<std::ptrdiff_t>(from.first_row) * from.cols * size_of(from.format);
  switch (size_of(from.format)) {
    case 1:
      pack_elements<std::uint8_t>(source, strides, packed, memory.data());
      break;
    case 2:
      pack_elements<std::uint16_t>(source, strides, packed, memory.data());
      break;
    default:
      pack_elements<std::uint32_t>(source, strides, packed, memory.data());
      break;
  }
  packed.data = memory.data();
  if (needs_scales(from)) {
    auto* scales = reinterpret_cast<float*>(memory.data() + round_up_to_line(data_bytes(packed)));
    pack_scales(from, orientation, packed, scales);
    packed.scales = scales;
  }
  return packed;
}

PackedWeights plan_int8(int outputs, int inputs) {
  PackedWeights plan;
  plan.format = Format::int8;
  plan.outputs = outputs;
  plan.inputs = inputs;
  plan.segment = plan.first_segment = std::min(inputs, kInt8Segment);
  plan.segments = (inputs + plan.segment - 1) / plan.segment;
  return plan;
}

PackedWeights pack_int8(const RowMajorWeights& from, const PackedWeights& plan,
                        std::span<std::byte> memory) {
  assert(from.first_row % kPanel == 0 && memory.size() >= packed_bytes(plan, true));
  auto* data = reinterpret_cast<std::int8_t*>(memory.data());
  auto* scales = reinterpret_cast<float*>(memory.data() + round_up_to_line(data_bytes(plan)));
  std::vector<float> row(static_cast<std::size_t>(plan.inputs));
  for (int output = from.first_row; output < from.first_row + from.rows; ++output) {
    for (int i = 0; i < plan.inputs; ++i) {
      const std::size_t index =
          static_cast<std::size_t>(output) * row.size() + static_cast<std::size_t>(i);
      row[static_cast<std::size_t>(i)] =
          element(from.format, from.data, index) * source_scale(from, output, i);
    }
    const std::ptrdiff_t panel = output / kPanel;
    const int lane = output % kPanel;
    for (int s = 0, begin = 0; s < plan.segments; begin = plan.segment_end(s), ++s) {
      scales[(panel * plan.segments + s) * kPanel + lane] = round_segment(
          row, begin, plan.segment_end(s), data + panel * plan.inputs * kPanel + lane);
    }
  }
  PackedWeights packed = plan;
  packed.data = memory.data();
  packed.scales = scales;
  return packed;
}

void unpack_output(const PackedWeights& weights, int output, std::span<float> out) {
  const int panel = output / kPanel;
  const int lane = output % kPanel;
  const std::size_t first =
      static_cast<std::size_t>(panel) * static_cast<std::size_t>(weights.inputs);
  for (int s = 0, i = 0; s < weights.segments; ++s) {
    const float scale = weights.scales == nullptr
                            ? 1.0F
                            : weights.scales[(panel * weights.segments + s) * kPanel + lane];
    for (; i < weights.segment_end(s); ++i) {
      const std::size_t index = (first + static_cast<std::size_t>(i)) * kPanel;
      out[static_cast<std::size_t>(i)] =
          element(weights.format, weights.data, index + static_cast<std::size_t>(lane)) * scale;
    }
  }
}

bool all_finite(const RowMajorWeights& weights) {
  const auto count =
      static_cast<std::size_t>(weights.rows) * static_cast<std::size_t>(weights.cols);
  const std::byte* data = weights.data + static_cast<std::ptrdiff_t>(weights.first_row) *
                                             weights.cols * size_of(weights.format);
  switch (weights.format) {
    case Format::f32:
      return !any_with_exponent<std::uint32_t>(data, count, 0x7f800000U);
    case Format::f16:
      return !any_with_exponent<std::uint16_t>(data, count, 0x7c00U);
    case Format::bf16:
      return !any_with_exponent<std::uint16_t>(data, count, 0x7f80U);
    case Format::f8_e4m3:
      return !any_with_exponent<std::uint8_t>(data, count, 0x7fU);
    case Format::int8:
      return true;
  }
  return false;
}

}  // namespace caretd::kernels::cpu
