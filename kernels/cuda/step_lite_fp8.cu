#define CARETD_STEP_NAMESPACE step_lite
#define CARETD_STEP_SIZES lite_step_dims
#include "kernels/cuda/step/launch.cuh"

namespace caretd::kernels::cuda::step_lite {

template cudaError_t prepare<Format::fp8>(int shared_bytes);
template cudaError_t launch<Format::fp8>(const StepParams& params, int blocks, cudaStream_t stream);

}  // namespace caretd::kernels::cuda::step_lite
