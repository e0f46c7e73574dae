// The CUDA benchmark's figures as text and as JSON.
#pragma once

#include <string>

#include "engine/bench/cuda_bench.h"

namespace caretd::engine {

/// Lines for people; bandwidth shares are of the read-only stream of the same run.
[[nodiscard]] std::string cuda_bench_table(const CudaBenchReport& report, const RunnerInfo& info);

/// One JSON object, for machines.
[[nodiscard]] std::string cuda_bench_json(const CudaBenchReport& report, const RunnerInfo& info);

}  // namespace caretd::engine
