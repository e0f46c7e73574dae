// Launching the step kernel of one weight format; included by its instantiation.
#pragma once

#include "kernels/cuda/step/kernel.cuh"

namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE {

template <Format F, int NT>
cudaError_t prepare_one(int shared_bytes) {
  return cudaFuncSetAttribute(run<F, NT>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shared_bytes);
}

template <Format F>
cudaError_t prepare(int shared_bytes) {
  cudaError_t error = prepare_one<F, 1>(shared_bytes);
  return error == cudaSuccess ? prepare_one<F, 2>(shared_bytes) : error;
}

template <Format F>
const void* kernel_for(int tokens) {
  return tokens <= 8 ? reinterpret_cast<const void*>(run<F, 1>)
                     : reinterpret_cast<const void*>(run<F, 2>);
}
template <Format F>
cudaError_t launch(const StepParams& params, int blocks, cudaStream_t stream) {
  void* arguments[] = {const_cast<StepParams*>(&params)};
  return cudaLaunchCooperativeKernel(kernel_for<F>(params.batch.tokens), dim3(blocks),
                                     dim3(kStepThreads), arguments, params.shared.total, stream);
}

}  // namespace caretd::kernels::cuda::CARETD_STEP_NAMESPACE
