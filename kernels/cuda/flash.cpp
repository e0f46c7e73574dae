#include "kernels/cuda/flash.h"

namespace caretd::kernels::cuda {

bool flash_supports(int nope, int rope, int v) {
  return (nope == 128 && rope == 64 && v == 128) || (nope == 64 && rope == 32 && v == 64);
}

cudaError_t prepare_flash(const GemmDevice& device) {
  return device.warpgroups ? prepare_flash_wgmma() : prepare_flash_mma();
}

cudaError_t launch_flash(const GemmDevice& device, const FlashParams& params, int nope,
                         cudaStream_t stream) {
  return device.warpgroups ? launch_flash_wgmma(device.encoder, params, nope, stream)
                           : launch_flash_mma(params, nope, stream);
}

}  // namespace caretd::kernels::cuda
