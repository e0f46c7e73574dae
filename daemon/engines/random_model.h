// Models of true shapes with random weights made on the GPU, for benchmarks.
#pragma once

#include <filesystem>
#include <string>

#include "daemon/config/settings.h"
#include "daemon/paths.h"
#include "engine/cuda_runner.h"
#include "engine/local_engine.h"

namespace caretd::daemon {

/// "lite-fp8" is the shape lite with FP8 projections; without a format they are BF16.
[[nodiscard]] Result<engine::RandomModel> random_model(std::string name);

/// Loads such a model, with uniformly random routing, behind the tokenizer of a folder.
[[nodiscard]] engine::ModelLoader random_model_loader(const engine::RandomModel& model,
                                                      const std::filesystem::path& tokenizer_folder,
                                                      const ModelSettings& settings,
                                                      const InstallTree& install);

}  // namespace caretd::daemon
