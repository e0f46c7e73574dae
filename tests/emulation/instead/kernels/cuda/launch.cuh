// Stands in for kernels/cuda/launch.cuh: launches run on the emulated device and have ended when
// they return.
#pragma once

#include "tests/emulation/intrinsics.h"

namespace caretd::kernels::cuda {

template <typename... Parameters, typename... Arguments>
[[nodiscard]] cudaError_t launch_kernel(void (*kernel)(Parameters...), dim3 grid, int threads,
                                        int shared_bytes, cudaStream_t stream,
                                        Arguments&&... arguments) {
  if (const auto error = emulation::check_stream(stream); error != cudaSuccess) return error;
  emulation::run_grid({grid, dim3(static_cast<unsigned>(threads)), shared_bytes},
                      [&] { kernel(arguments...); });
  return cudaSuccess;
}

template <typename Parameters>
[[nodiscard]] cudaError_t launch_cooperative(void (*kernel)(Parameters), int blocks, int threads,
                                             int shared_bytes, cudaStream_t stream,
                                             const Parameters& parameters) {
  if (const auto error = emulation::check_stream(stream); error != cudaSuccess) return error;
  emulation::run_grid({dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(threads)),
                       shared_bytes, true},
                      [&] { kernel(parameters); });
  return cudaSuccess;
}

template <typename... Parameters>
[[nodiscard]] cudaError_t allow_shared(void (*)(Parameters...), int bytes) {
  return bytes <= emulation::max_shared_bytes(CARETD_DEVICE_CAPABILITY) ? cudaSuccess
                                                                        : cudaErrorInvalidValue;
}

}  // namespace caretd::kernels::cuda
