// Model shapes by name, for random checkpoints, benchmarks and tests.
#pragma once

#include <span>
#include <string_view>

#include "engine/checkpoint/model_config.h"
#include "support/result.h"

namespace caretd::engine {

/// A shape that has a name.
struct NamedShape {
  std::string_view name;
  std::string_view summary;  ///< for --help
};

/// All names that shape_by_name() knows.
///
/// `lite` and `full` are DeepSeek-Coder-V2-Lite (16B) and DeepSeek-Coder-V2 (236B) as published;
/// `tiny` is the embedded model. The `small...` shapes have a few hundred thousand parameters and
/// one feature of the family each. Their widths are no multiples of 128, so every FP8 matrix has
/// ragged last blocks, and their head is untied, except where the name says otherwise.
[[nodiscard]] std::span<const NamedShape> named_shapes();

/// ErrorKind::not_found lists the names there are. `layers` above 0 replaces the shape's own count.
[[nodiscard]] Result<ModelConfig> shape_by_name(std::string_view name, int layers = 0);

}  // namespace caretd::engine
