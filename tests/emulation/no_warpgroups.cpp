// Prefill by wgmma and tensor copies is not emulated; the device says so, and nobody asks for it.
#include "kernels/cuda/flash.h"
#include "kernels/cuda/gemm.h"

namespace caretd::kernels::cuda {

cudaError_t prepare_gemm_wgmma() {
  return cudaErrorNotSupported;
}
cudaError_t launch_gemm_wgmma(const GemmDevice&, const GemmParams&, cudaStream_t) {
  return cudaErrorNotSupported;
}
cudaError_t prepare_flash_wgmma() {
  return cudaErrorNotSupported;
}
cudaError_t launch_flash_wgmma(const TensorMapEncoder&, const FlashParams&, int, cudaStream_t) {
  return cudaErrorNotSupported;
}

}  // namespace caretd::kernels::cuda
