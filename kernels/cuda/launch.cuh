// Launching kernels with typed parameters.
#pragma once

#include <utility>

#include <cuda_runtime.h>

namespace caretd::kernels::cuda {

/// Queues `kernel` on blocks of `threads` threads with `shared_bytes` of dynamic shared memory.
template <typename... Parameters, typename... Arguments>
[[nodiscard]] cudaError_t launch_kernel(void (*kernel)(Parameters...), dim3 grid, int threads,
                                        int shared_bytes, cudaStream_t stream,
                                        Arguments&&... arguments) {
  kernel<<<grid, threads, shared_bytes, stream>>>(std::forward<Arguments>(arguments)...);
  return cudaGetLastError();
}

/// The same on `blocks` blocks that are all resident together and may wait for one another.
template <typename Parameters>
[[nodiscard]] cudaError_t launch_cooperative(void (*kernel)(Parameters), int blocks, int threads,
                                             int shared_bytes, cudaStream_t stream,
                                             const Parameters& parameters) {
  void* arguments[] = {const_cast<Parameters*>(&parameters)};
  return cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), dim3(blocks),
                                     dim3(threads), arguments, shared_bytes, stream);
}

/// Lets a kernel have `bytes` of dynamic shared memory; once per device.
template <typename... Parameters>
[[nodiscard]] cudaError_t allow_shared(void (*kernel)(Parameters...), int bytes) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                              cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace caretd::kernels::cuda
