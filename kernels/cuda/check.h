// CUDA errors as Results.
#pragma once

#include <string>

#include <cuda_runtime_api.h>

#include "support/result.h"

namespace caretd::kernels::cuda {

/// Errors after which "any further CUDA work will return the same error" until the process is
/// started anew (CUDA Runtime API, cudaError).
[[nodiscard]] constexpr bool lasts(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
      return true;
    default:
      return false;
  }
}

/// Success, or an Error: out_of_memory for that, device_fault for everything else. `what` says what
/// was being done ("copying weights").
[[nodiscard]] inline Result<void> check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  cudaGetLastError();  // an allocation failure is not sticky; do not report it twice
  const bool memory = error == cudaErrorMemoryAllocation;
  return fail(memory ? ErrorKind::out_of_memory : ErrorKind::device_fault,
              std::string(memory ? "the GPU has no memory left while " : "the GPU failed while ") +
                  what + ": " + cudaGetErrorString(error) +
                  (lasts(error) ? "; no program can use the GPU again after that, so restart "
                                  "caretd (caretd daemon restart)"
                                : ""));
}

}  // namespace caretd::kernels::cuda
