#include "kernels/cuda/step/launch.cuh"

namespace caretd::kernels::cuda::step {

template cudaError_t prepare<Format::bf16>(int shared_bytes);
template cudaError_t launch<Format::bf16>(const StepParams& params, int blocks,
                                          cudaStream_t stream);

}  // namespace caretd::kernels::cuda::step
