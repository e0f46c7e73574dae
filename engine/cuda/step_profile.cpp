#include "engine/cuda/step_profile.h"

#include <algorithm>

namespace caretd::engine::cuda {

std::vector<std::string> step_operations(const kernels::cuda::StepDims& dims,
                                         bool combine_separately, bool candidates) {
  std::vector<std::string> names{"embedding"};
  for (int layer = 0; layer < dims.layers; ++layer) {
    names.emplace_back(dims.q_rank > 0 ? "q_a and kv_a" : "q and kv_a");
    if (dims.q_rank > 0) names.emplace_back("q_b");
    names.emplace_back("rotary, page write, absorb");
    names.emplace_back("attention");
    if (combine_separately) names.emplace_back("combine splits");
    names.emplace_back("values");
    names.emplace_back("output projection");
    const bool moe = dims.is_moe(layer);
    names.emplace_back(moe ? "router, gate and up of all experts" : "dense gate and up");
    names.emplace_back(moe ? "down of all experts" : "dense down");
  }
  if (candidates) {
    names.emplace_back("head and best of each block");
    names.emplace_back("hand on candidates");
    names.emplace_back("rank candidates");
  }
  return names;
}

std::vector<CudaOperationTime> sum_operations(const std::vector<std::string>& operations,
                                              const std::vector<long long>& marks, double seconds) {
  std::vector<CudaOperationTime> times;
  const std::size_t count = std::min(operations.size(), marks.size() - 1);
  const auto total = static_cast<double>(marks[count] - marks[0]);
  for (std::size_t i = 0; i < count; ++i) {
    auto at = std::ranges::find(times, operations[i], &CudaOperationTime::name);
    if (at == times.end()) at = times.insert(times.end(), {operations[i], 0, 0});
    at->seconds += static_cast<double>(marks[i + 1] - marks[i]) / total * seconds;
    ++at->count;
  }
  return times;
}

}  // namespace caretd::engine::cuda
