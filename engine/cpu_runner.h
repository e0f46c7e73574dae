// The CPU runner: the readable reference, and the default where there is no GPU.
#pragma once

#include <memory>
#include <stop_token>

#include "engine/checkpoint/checkpoint.h"
#include "engine/runner.h"

namespace caretd::engine {

/// Converts the weights for the CPU kernels and allocates the page pool (memory of pages is
/// committed when they are first written). The checkpoint may be released afterwards unless the
/// runner keeps views into it, which it does by holding the pointer.
[[nodiscard]] Result<std::unique_ptr<Runner>> make_cpu_runner(
    std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options,
    const Progress& progress, std::stop_token stop);

}  // namespace caretd::engine
