#include "kernels/cpu/kernels.h"

namespace caretd::kernels::cpu {

extern const Kernels kPortableKernels;
#ifdef CARETD_X86_KERNELS
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

namespace {

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> result;
#ifdef CARETD_X86_KERNELS
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) result.push_back(&kAvx512Kernels);
  if (avx2) result.push_back(&kAvx2Kernels);
#endif
  result.push_back(&kPortableKernels);
  return result;
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> kernels = detect();
  return kernels;
}

const Kernels* find_kernels(std::string_view id) {
  for (const Kernels* kernels : available_kernels()) {
    if (id.empty() || id == kernels->id) return kernels;
  }
  return nullptr;
}

}  // namespace caretd::kernels::cpu
