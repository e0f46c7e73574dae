#define CARETD_STEP_NAMESPACE step_lite_few
#define CARETD_STEP_SIZES lite_step_dims
#define CARETD_STEP_TOKEN_LIMIT kFewTokens
#include "kernels/cuda/step/single_kernel.cuh"

namespace caretd::kernels::cuda::step_lite_few {

template cudaError_t prepare<Format::bf16>(int shared_bytes);
template cudaError_t launch<Format::bf16>(const StepParams& params, int blocks,
                                          cudaStream_t stream);

}  // namespace caretd::kernels::cuda::step_lite_few
