// How fast the CUDA runner is, figure by figure beside what the memory allows: what
// `caretd bench --random` prints.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/cuda_runner.h"
#include "support/clock.h"

namespace caretd::engine {

/// One measured step.
struct CudaFigure {
  std::string name;
  int context = 0;            ///< tokens of each sequence that are in the cache
  int tokens = 0;             ///< computed by the step, all sequences together
  double seconds = 0;         ///< median from the call of forward() to its return
  double device_seconds = 0;  ///< median of the device's part
  double host_seconds = 0;    ///< median of the time until everything was queued
  std::int64_t bytes = 0;     ///< weights of the experts really read, everything else, and KV rows
  double distinct_experts = 0;  ///< mean of a MoE layer, 0 where prefill reads all
};

/// What to measure. Figures that do not fit into the runner's pages or the model's context are left
/// out. KV rows are filled with random numbers, not computed.
struct CudaBenchPlan {
  std::vector<int> contexts = {512, 2048, 8192, 32768};
  std::vector<int> appends = {1, 2, 4, 8, 16, 32};  ///< at `append_context`
  std::vector<int> batches = {1, 2, 4, 8};          ///< sequences of `append_context` tokens
  std::vector<int> prefills = {1024, 8192};
  int append_context = 2048;
  int repeats = 30;
  /// Experts chosen uniformly at random where more than one token is computed; 0: by the router.
  std::uint32_t forced_routing = 1;
  bool profile = false;
  std::function<void(const CudaFigure&)> on_figure;  ///< told each figure when it is measured
};

struct CudaBenchReport {
  double read_bandwidth = 0;  ///< of a read-only stream, bytes per second
  double kv_bytes_per_token = 0;
  std::vector<CudaFigure> figures;
  std::vector<CudaOperationTime> profile;  ///< of a decoded token at append_context
  double profiled_seconds = 0;             ///< what the profile adds up to
};

[[nodiscard]] Result<CudaBenchReport> run_cuda_bench(CudaRunner& runner, const CudaBenchPlan& plan,
                                                     const ModelConfig& config, const Clock& clock);

}  // namespace caretd::engine
