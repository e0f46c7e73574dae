// Names for the operations between the grid barriers of a step.
#pragma once

#include <string>
#include <vector>

#include "engine/cuda_runner.h"
#include "kernels/cuda/step.h"

namespace caretd::engine::cuda {

/// The operation that ends at each barrier of a step with one launch, in order; the last one ends
/// at the end of the step.
[[nodiscard]] std::vector<std::string> step_operations(const kernels::cuda::StepDims& dims,
                                                       bool combine_separately, bool candidates);

/// Sums clock marks by operation and scales them so that they add up to `seconds`.
[[nodiscard]] std::vector<CudaOperationTime> sum_operations(
    const std::vector<std::string>& operations, const std::vector<long long>& marks,
    double seconds);

}  // namespace caretd::engine::cuda
