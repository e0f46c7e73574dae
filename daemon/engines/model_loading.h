// From settings to a loaded model: which folder, on which device.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "daemon/config/settings.h"
#include "daemon/paths.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/cuda_runner.h"
#include "engine/local_engine.h"
#include "support/log.h"

namespace caretd::daemon {

/// The model folder that the settings mean: model.path, or the embedded model where it is empty.
[[nodiscard]] std::filesystem::path model_folder(const ModelSettings& settings,
                                                 const InstallTree& install);

/// Where a model goes, with the sentence that says why.
struct DeviceChoice {
  bool cuda = false;
  std::string reason;
  int ordinal = 0;  ///< of the GPU
};

/// An Error where the settings ask for more than one GPU: whoever names several expects a model to
/// fit that fits on none of them, so neither one of them nor the CPU would be what was meant.
[[nodiscard]] Result<void> check_gpu_count(const ModelSettings& settings);

/// The GPU that is named, or else the first that will do: a pure function of the setting, what the
/// driver said and the bytes of memory the model needs on its device. With device = cuda, a GPU
/// that is missing or too small is an Error; with auto it is a reason to take the CPU.
/// check_gpu_count() holds for both, and so does a fault of the device.
[[nodiscard]] Result<DeviceChoice> choose_device(
    const ModelSettings& settings, const Result<std::vector<engine::CudaDevice>>& devices,
    std::int64_t needed_bytes);

/// Bytes of device memory that a checkpoint needs: weights, KV budget and working memory.
[[nodiscard]] std::int64_t device_bytes_needed(const engine::Checkpoint& checkpoint,
                                               const ModelSettings& settings);

[[nodiscard]] engine::RunnerOptions runner_options(const ModelSettings& settings,
                                                   const engine::Tokenizer& tokenizer);

[[nodiscard]] engine::FimUse fim_use(const ModelSettings& settings);

/// Opens the folder, chooses a device and loads the model onto it.
[[nodiscard]] Result<engine::LoadedModel> load_model(const ModelSettings& settings,
                                                     const InstallTree& install, const Logger& log,
                                                     const engine::Progress& progress,
                                                     std::stop_token stop);

}  // namespace caretd::daemon
