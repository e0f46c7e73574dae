// CUDA errors as Results.
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include "support/result.h"

namespace caretd::kernels::cuda {

/// Success, or an Error: out_of_memory for that, device_fault for everything else. `what` says what
/// was being done ("copying weights").
[[nodiscard]] inline Result<void> check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // an allocation failure is not sticky; do not report it twice
  const bool memory = error == cudaErrorMemoryAllocation;
  return fail(memory ? ErrorKind::out_of_memory : ErrorKind::device_fault,
              std::string(memory ? "the GPU has no memory left while " : "the GPU failed while ") +
                  what + ": " + cudaGetErrorString(error));
}

}  // namespace caretd::kernels::cuda
