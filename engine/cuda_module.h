// What the CUDA module (caretd_cuda.so) exports to the process that loads it. Module and program
// are built from one tree by one compiler, so C++ types cross the boundary.
#pragma once

#include <memory>
#include <stop_token>
#include <vector>

#include "engine/cuda_runner.h"

namespace caretd::engine {

struct CudaModule {
  /// kCudaModuleVersion of the tree the module was built from; the first member for ever.
  int version = 0;
  Result<std::vector<CudaDevice>> (*list_devices)() = nullptr;
  Result<std::unique_ptr<CudaRunner>> (*make_runner)(std::shared_ptr<const Checkpoint> checkpoint,
                                                     const RunnerOptions& options,
                                                     const Progress& progress,
                                                     std::stop_token stop) = nullptr;
  Result<std::unique_ptr<CudaRunner>> (*make_random_runner)(const RandomModel& model,
                                                            const RunnerOptions& options) = nullptr;
};

/// Raised with every change of a type that crosses the boundary.
inline constexpr int kCudaModuleVersion = 3;

/// Name and type of the one symbol that is looked up:
///   extern "C" const caretd::engine::CudaModule* caretd_cuda_module();
inline constexpr const char* kCudaModuleSymbol = "caretd_cuda_module";
using CudaModuleEntry = const CudaModule* (*)();

}  // namespace caretd::engine
