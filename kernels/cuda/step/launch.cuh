// Launching the step kernel of one weight format; included by its instantiation.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/step/kernel.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

template <Format F, int NT>
cudaError_t prepare_one(int shared_bytes) {
  return allow_shared(run<F, NT>, shared_bytes);
}

template <Format F>
cudaError_t prepare(int shared_bytes) {
  cudaError_t error = prepare_one<F, 1>(shared_bytes);
  return error == cudaSuccess ? prepare_one<F, 2>(shared_bytes) : error;
}

template <Format F>
cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream) {
  return launch_cooperative(params.batch.tokens <= 8 ? run<F, 1> : run<F, 2>, blocks, kStepThreads,
                            params.shared.total, stream, params);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
