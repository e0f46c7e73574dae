#include "engine/checkpoint/checkpoint_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "engine/checkpoint/parallel_for.h"
#include "engine/checkpoint/random_values.h"
#include "engine/checkpoint/safetensors_writer.h"
#include "engine/checkpoint/weight_layout.h"
#include "kernels/cpu/numeric_formats.h"

namespace caretd::engine {
namespace {

constexpr int kBlock = 128;
constexpr std::int64_t kPieceElements = std::int64_t{1} << 21;
constexpr double kNormDeviation = 0.1;

struct FormatName {
  WeightFormat format;
  std::string_view name;
};
constexpr std::array<FormatName, 4> kFormatNames{{{WeightFormat::bf16, "bf16"},
                                                  {WeightFormat::f32, "f32"},
                                                  {WeightFormat::fp8_block, "fp8"},
                                                  {WeightFormat::fp8_tensor, "fp8-tensor"}}};

/// What fills a tensor: value = center + deviation * normal, or for FP8 scales
/// deviation * uniform in [0.5, 1.5).
struct Recipe {
  bool is_scale = false;
  double center = 0.0;
  double deviation = 1.0;
};

/// The tensors to write, and how to fill each.
struct Plan {
  std::vector<OutputTensor> tensors;
  std::vector<Recipe> recipes;
};

bool is_fp8(WeightFormat format) {
  return format == WeightFormat::fp8_block || format == WeightFormat::fp8_tensor;
}

/// One element of an FP8 matrix is a normal value stretched to the whole range of E4M3.
double f8_stretch() {
  return kernels::kLargestF8E4M3 / normal_slices().back();
}

double matrix_deviation(const TensorSpec& spec) {
  return 1.0 / std::sqrt(static_cast<double>(spec.cols));
}

void add_fp8(Plan& plan, const TensorSpec& spec, WeightFormat format) {
  plan.tensors.push_back({spec.name, DType::f8_e4m3, spec.shape()});
  plan.recipes.push_back({false, 0.0, f8_stretch()});
  const bool block_wise = format == WeightFormat::fp8_block;
  std::vector<std::int64_t> scale_shape;  // a scalar, for one scale a matrix
  if (block_wise) {
    scale_shape = {(spec.rows + kBlock - 1) / kBlock, (spec.cols + kBlock - 1) / kBlock};
  }
  plan.tensors.push_back(
      {spec.name + (block_wise ? "_scale_inv" : "_scale"), DType::f32, std::move(scale_shape)});
  plan.recipes.push_back({true, 0.0, matrix_deviation(spec) / f8_stretch()});
}

Plan make_plan(const ModelConfig& config, WeightFormat format) {
  const DType plain = format == WeightFormat::f32 ? DType::f32 : DType::bf16;
  Plan plan;
  for (const TensorSpec& spec : tensor_layout(config)) {
    if (is_fp8(format) && spec.role == TensorRole::linear) {
      add_fp8(plan, spec, format);
      continue;
    }
    plan.tensors.push_back({spec.name, plain, spec.shape()});
    plan.recipes.push_back(spec.role == TensorRole::norm
                               ? Recipe{false, 1.0, kNormDeviation}
                               : Recipe{false, 0.0, matrix_deviation(spec)});
  }
  return plan;
}

/// Fills `out` with elements from number `first` on, a multiple of kNormalsPerDraw.
template <typename Element, typename Encode>
void fill_normal(std::uint64_t key, std::int64_t first, std::span<Element> out,
                 const Recipe& recipe, const Encode& encode) {
  std::array<Element, kNormalSlices> values;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = encode(static_cast<float>(recipe.center + recipe.deviation * normal_slices()[i]));
  }
  constexpr size_t kMask = kNormalSlices - 1;
  auto draw = static_cast<std::uint64_t>(first / kNormalsPerDraw);
  size_t i = 0;
  for (; i + kNormalsPerDraw <= out.size(); i += kNormalsPerDraw) {
    const std::uint64_t bits = random_bits(key, draw++);
    out[i] = values[bits & kMask];
    out[i + 1] = values[bits >> 16 & kMask];
    out[i + 2] = values[bits >> 32 & kMask];
    out[i + 3] = values[bits >> 48 & kMask];
  }
  for (std::uint64_t bits = random_bits(key, draw); i < out.size(); ++i, bits >>= 16) {
    out[i] = values[bits & kMask];
  }
}

void fill_scales(std::uint64_t key, std::int64_t first, std::span<float> out,
                 const Recipe& recipe) {
  for (size_t i = 0; i < out.size(); ++i) {
    const double unit = random_unit(key, static_cast<std::uint64_t>(first) + i);
    out[i] = static_cast<float>(recipe.deviation * (0.5 + unit));
  }
}

template <typename Element>
std::span<Element> elements_of(std::vector<std::byte>& buffer) {
  return {reinterpret_cast<Element*>(buffer.data()), buffer.size() / sizeof(Element)};
}

/// `count` elements from number `first` on, as they go into the file.
std::vector<std::byte> make_elements(const OutputTensor& tensor, const Recipe& recipe,
                                     std::uint64_t seed, std::int64_t first, std::int64_t count) {
  const std::uint64_t key = stream_key(seed, tensor.name);
  std::vector<std::byte> buffer(static_cast<size_t>(count * size_of(tensor.dtype)));
  switch (tensor.dtype) {
    case DType::f32:
      if (recipe.is_scale) {
        fill_scales(key, first, elements_of<float>(buffer), recipe);
      } else {
        fill_normal(key, first, elements_of<float>(buffer), recipe, [](float v) { return v; });
      }
      break;
    case DType::bf16:
      fill_normal(key, first, elements_of<std::uint16_t>(buffer), recipe, kernels::float_to_bf16);
      break;
    case DType::f16:
      fill_normal(key, first, elements_of<std::uint16_t>(buffer), recipe, kernels::float_to_f16);
      break;
    case DType::f8_e4m3:
      fill_normal(key, first, elements_of<std::uint8_t>(buffer), recipe, kernels::float_to_f8_e4m3);
      break;
  }
  return buffer;
}

/// A run of elements of one tensor: the unit of work of a thread.
struct ElementRange {
  size_t tensor;
  std::int64_t first;
  std::int64_t count;
};

std::vector<ElementRange> cut_into_pieces(std::span<const OutputTensor> tensors) {
  std::vector<ElementRange> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::int64_t elements = tensors[i].bytes() / size_of(tensors[i].dtype);
    for (std::int64_t first = 0; first < elements; first += kPieceElements) {
      pieces.push_back({i, first, std::min(kPieceElements, elements - first)});
    }
  }
  return pieces;
}

std::string config_text(ModelConfig config, WeightFormat format) {
  const bool block_wise = format == WeightFormat::fp8_block;
  config.fp8_block = block_wise ? std::array{kBlock, kBlock} : std::array{0, 0};
  return write_model_config(config, is_fp8(format));
}

}  // namespace

std::string_view to_string(WeightFormat format) {
  for (const FormatName& entry : kFormatNames) {
    if (entry.format == format) return entry.name;
  }
  return "unknown";
}

std::optional<WeightFormat> weight_format_by_name(std::string_view name) {
  for (const FormatName& entry : kFormatNames) {
    if (entry.name == name) return entry.format;
  }
  return std::nullopt;
}

Result<void> write_checkpoint(const std::filesystem::path& folder, const ModelConfig& config,
                              const CheckpointWriteOptions& options) {
  const Plan plan = make_plan(config, options.format);
  auto output = CheckpointFolder::create(folder, plan_shards(plan.tensors, options.shard_bytes));
  if (!output) return pass_on(std::move(output));
  const std::vector<ElementRange> pieces = cut_into_pieces(plan.tensors);
  const auto write_piece = [&](size_t number) {
    const ElementRange& piece = pieces[number];
    const OutputTensor& tensor = plan.tensors[piece.tensor];
    const auto bytes =
        make_elements(tensor, plan.recipes[piece.tensor], options.seed, piece.first, piece.count);
    return output->write(piece.tensor, piece.first * size_of(tensor.dtype), bytes);
  };
  auto done =
      parallel_for(pieces.size(), {options.threads, options.progress, options.stop}, write_piece);
  if (!done) return done;
  return output->finish(config_text(config, options.format));
}

}  // namespace caretd::engine
