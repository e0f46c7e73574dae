// The kernels for AVX-512 (F, BW, DQ, VL); CMakeLists.txt sets the compiler flags.
#include "kernels/cpu/simd/lanes_avx512.h"
// The lanes come first: the kernels in the table are written in terms of them.
#include "kernels/cpu/simd/table.h"

namespace caretd::kernels::cpu {

extern const Kernels kAvx512Kernels;
const Kernels kAvx512Kernels = make_table("avx512", "AVX-512");

}  // namespace caretd::kernels::cpu
