#include "kernels/cuda/step.h"

namespace caretd::kernels::cuda {
namespace step {

// Instantiated in step_bf16.cu and step_fp8.cu.
template <Format F>
cudaError_t prepare(int shared_bytes);
template <Format F>
cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream);

extern template cudaError_t prepare<Format::bf16>(int);
extern template cudaError_t prepare<Format::fp8>(int);
extern template cudaError_t launch<Format::bf16>(const StepParams&, int, cudaStream_t);
extern template cudaError_t launch<Format::fp8>(const StepParams&, int, cudaStream_t);

}  // namespace step

cudaError_t prepare_step(Format format, int shared_bytes) {
  return format == Format::bf16 ? step::prepare<Format::bf16>(shared_bytes)
                                : step::prepare<Format::fp8>(shared_bytes);
}

cudaError_t launch_step(Format format, const StepParams& params, int blocks, cudaStream_t stream) {
  return format == Format::bf16 ? step::launch<Format::bf16>(params, blocks, stream)
                                : step::launch<Format::fp8>(params, blocks, stream);
}

}  // namespace caretd::kernels::cuda
