#include "kernels/cuda/step.h"

namespace caretd::kernels::cuda {

// The kernels of every format; a namespace is instantiated in step_bf16.cu and step_fp8.cu,
// step_lite_*.cu, step_lite_*_few.cu and step_lite_*_single.cu.
#define CARETD_DECLARE_STEP(name)                                                         \
  namespace name {                                                                        \
  template <Format F>                                                                     \
  cudaError_t prepare(int shared_bytes);                                                  \
  template <Format F>                                                                     \
  cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream);          \
  extern template cudaError_t prepare<Format::bf16>(int);                                 \
  extern template cudaError_t prepare<Format::fp8>(int);                                  \
  extern template cudaError_t launch<Format::bf16>(const StepParams&, int, cudaStream_t); \
  extern template cudaError_t launch<Format::fp8>(const StepParams&, int, cudaStream_t);  \
  }
CARETD_DECLARE_STEP(step)
CARETD_DECLARE_STEP(step_lite)
CARETD_DECLARE_STEP(step_lite_single)
CARETD_DECLARE_STEP(step_lite_few)
#undef CARETD_DECLARE_STEP

namespace {

template <Format F>
cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream) {
  if (!has_lite_sizes(params.dims)) return step::launch<F>(params, blocks, stream);
  const bool few =
      params.batch.tokens <= kFewTokens && params.embed != 0 && blocks >= params.dims.experts;
  if (!few) return step_lite::launch<F>(params, blocks, stream);
  return params.batch.tokens == 1 ? step_lite_single::launch<F>(params, blocks, stream)
                                  : step_lite_few::launch<F>(params, blocks, stream);
}

template <Format F>
cudaError_t prepare(int shared_bytes) {
  cudaError_t error = step::prepare<F>(shared_bytes);
  if (error == cudaSuccess) error = step_lite::prepare<F>(shared_bytes);
  if (error == cudaSuccess) error = step_lite_single::prepare<F>(shared_bytes);
  return error == cudaSuccess ? step_lite_few::prepare<F>(shared_bytes) : error;
}

}  // namespace

cudaError_t prepare_step(Format format, int shared_bytes) {
  return format == Format::bf16 ? prepare<Format::bf16>(shared_bytes)
                                : prepare<Format::fp8>(shared_bytes);
}

cudaError_t launch_step(Format format, const StepParams& params, int blocks, cudaStream_t stream) {
  return format == Format::bf16 ? launch<Format::bf16>(params, blocks, stream)
                                : launch<Format::fp8>(params, blocks, stream);
}

}  // namespace caretd::kernels::cuda
