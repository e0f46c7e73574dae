// The CUDA runner, a module of its own (caretd_cuda.so) that is loaded at run time: the caretd
// binary links no CUDA library and runs on machines without a driver.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/checkpoint/checkpoint.h"
#include "engine/runner.h"

namespace caretd::engine {

/// One GPU as the driver describes it.
struct CudaDevice {
  int ordinal = 0;
  std::string name;
  int compute_major = 0;
  int compute_minor = 0;
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
};

/// The GPUs of this machine. ErrorKind::unavailable with one sentence where there is no driver,
/// the driver is too old, or the module is not installed. `module` empty: beside the executable
/// (../lib/caretd/caretd_cuda.so).
[[nodiscard]] Result<std::vector<CudaDevice>> list_cuda_devices(
    const std::filesystem::path& module = {});

/// Loads the weights onto the GPUs named in `options.devices`. ErrorKind::out_of_memory names the
/// memory needed and the memory available.
[[nodiscard]] Result<std::unique_ptr<Runner>> make_cuda_runner(
    std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options,
    const Progress& progress, std::stop_token stop, const std::filesystem::path& module = {});

}  // namespace caretd::engine
