// Turns rows of logits into what forward() gives back.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/runner.h"
#include "kernels/cpu/kernels.h"

namespace caretd::engine {

/// Writes the `best.size()` likeliest tokens, or all if there are fewer, in the order that
/// OutputRow::candidates states; returns how many. `indices` has room for every logit.
int find_candidates(const kernels::cpu::Kernels& kernels, std::span<const float> logits,
                    std::span<std::int32_t> indices, std::span<Candidate> best);

/// ErrorKind::internal where a row is not a distribution: what is chosen from it would be garbage.
[[nodiscard]] Result<void> check_finite(std::span<const OutputRow> rows);

}  // namespace caretd::engine
