// The CUDA runner: one device, the persistent step kernel for up to 16 tokens at a time.
#pragma once

#include <memory>

#include "engine/cuda/device_model.h"
#include "engine/cuda_runner.h"

namespace caretd::engine::cuda {

[[nodiscard]] Result<std::vector<CudaDevice>> list_devices();

[[nodiscard]] Result<std::unique_ptr<CudaRunner>> make_runner(
    std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options,
    const Progress& progress, std::stop_token stop);

[[nodiscard]] Result<std::unique_ptr<CudaRunner>> make_random_runner(const RandomModel& model,
                                                                     const RunnerOptions& options);

}  // namespace caretd::engine::cuda
