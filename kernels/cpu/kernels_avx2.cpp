// The kernels for AVX2 with FMA and F16C; CMakeLists.txt sets the compiler flags.
#include "kernels/cpu/simd/lanes_avx2.h"
// The lanes come first: the kernels in the table are written in terms of them.
#include "kernels/cpu/simd/table.h"

namespace caretd::kernels::cpu {

extern const Kernels kAvx2Kernels;
const Kernels kAvx2Kernels = make_table("avx2", "AVX2");

}  // namespace caretd::kernels::cpu
