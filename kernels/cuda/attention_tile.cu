#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/step/attention.cuh"

namespace caretd::kernels::cuda {
namespace {

__global__ void attention_tile_kernel(int* rows) {
  if (threadIdx.x == 0) *rows = step::kAttentionTile;
}

}  // namespace

cudaError_t read_attention_tile(int* rows, cudaStream_t stream) {
  return launch_kernel(attention_tile_kernel, 1, 32, 0, stream, rows);
}

}  // namespace caretd::kernels::cuda
