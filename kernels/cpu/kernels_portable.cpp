// The kernels for any processor; CMakeLists.txt sets the compiler flags.
#include "kernels/cpu/simd/lanes_portable.h"
// The lanes come first: the kernels in the table are written in terms of them.
#include "kernels/cpu/simd/table.h"

namespace caretd::kernels::cpu {

extern const Kernels kPortableKernels;
const Kernels kPortableKernels = make_table("portable", "portable");

}  // namespace caretd::kernels::cpu
