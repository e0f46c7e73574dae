#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/read_stream.h"

namespace caretd::kernels::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kInFlight = 4;

__global__ void __launch_bounds__(kThreads)
    read_stream_kernel(const uint4* data, std::int64_t count, unsigned* sink) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  unsigned sum = 0;
  std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; i + (kInFlight - 1) * stride < count; i += kInFlight * stride) {
    uint4 words[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) words[k] = __ldcs(data + i + k * stride);
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) sum += words[k].x + words[k].y + words[k].z + words[k].w;
  }
  for (; i < count; i += stride) sum += __ldcs(data + i).x;
  if (sum == 1) *sink = sum;
}

}  // namespace

cudaError_t read_stream(const std::byte* data, std::int64_t bytes, int multiprocessors,
                        unsigned* sink, cudaStream_t stream) {
  return launch_kernel(read_stream_kernel, 2 * multiprocessors, kThreads, 0, stream,
                       reinterpret_cast<const uint4*>(data), bytes / 16, sink);
}

}  // namespace caretd::kernels::cuda
