// A read-only stream over device memory: the ceiling that benchmarks compare with.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

namespace caretd::kernels::cuda {

/// Reads `bytes` (a multiple of 16) once with two blocks of 512 threads on every multiprocessor,
/// four 16-byte loads in flight a thread. `sink` is written if the sum of all words is 1, so that
/// the reads are not optimised away.
[[nodiscard]] cudaError_t read_stream(const std::byte* data, std::int64_t bytes,
                                      int multiprocessors, unsigned* sink, cudaStream_t stream);

}  // namespace caretd::kernels::cuda
