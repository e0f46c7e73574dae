// The function table of the instruction set this translation unit is compiled for. Everything in
// this folder has internal linkage: no function compiled for a wide instruction set may replace
// one of the same name elsewhere in the program.
#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd/attention.h"
#include "kernels/cpu/simd/elementwise.h"
#include "kernels/cpu/simd/linear.h"

namespace caretd::kernels::cpu {
namespace {

constexpr Kernels make_table(const char* id, const char* name) {
  return {.id = id,
          .name = name,
          .linear = linear,
          .store_key = store_key,
          .attend = attend,
          .merge_attention = merge_attention,
          .rms_norm = rms_norm,
          .silu_multiply = silu_multiply,
          .add_scaled = add_scaled,
          .log_sum_exp = log_sum_exp,
          .group_maxima = group_maxima,
          .find_at_least = find_at_least,
          .read_stream = read_stream};
}

}  // namespace
}  // namespace caretd::kernels::cpu
