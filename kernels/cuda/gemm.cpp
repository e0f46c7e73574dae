#include "kernels/cuda/gemm.h"

namespace caretd::kernels::cuda {

cudaError_t prepare_gemm(GemmDevice& device) {
  int ordinal = 0;
  int major = 0;
  cudaError_t error = cudaGetDevice(&ordinal);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal);
  }
  if (error == cudaSuccess) {
    error =
        cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, ordinal);
  }
  if (error != cudaSuccess) return error;
  device.warpgroups = major == 9 && TensorMapEncoder::find(device.encoder) == cudaSuccess;
  return device.warpgroups ? prepare_gemm_wgmma() : prepare_gemm_mma();
}

cudaError_t launch_gemm(const GemmDevice& device, const GemmParams& params, cudaStream_t stream) {
  if (params.rows == 0 || params.n == 0) return cudaSuccess;
  if (device.warpgroups) return launch_gemm_wgmma(device, params, stream);
  return params.format == Format::bf16 ? launch_gemm_mma(params, stream) : cudaErrorNotSupported;
}

}  // namespace caretd::kernels::cuda
