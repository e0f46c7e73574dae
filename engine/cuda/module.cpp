#include "engine/cuda/runner.h"
#include "engine/cuda_module.h"

namespace {

constexpr caretd::engine::CudaModule kModule{
    .version = caretd::engine::kCudaModuleVersion,
    .list_devices = caretd::engine::cuda::list_devices,
    .make_runner = caretd::engine::cuda::make_runner,
    .make_random_runner = caretd::engine::cuda::make_random_runner,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const caretd::engine::CudaModule*
caretd_cuda_module() {
  return &kModule;
}
