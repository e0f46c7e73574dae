#include "engine/cuda_runner.h"

#include <filesystem>
#include <string>
#include <utility>

#include <dlfcn.h>

#include "engine/cuda_module.h"

namespace caretd::engine {

namespace {

std::filesystem::path module_beside_executable() {
  std::error_code error;
  const auto executable = std::filesystem::read_symlink("/proc/self/exe", error);
  return executable.parent_path().parent_path() / "lib/caretd/caretd_cuda.so";
}

/// The module stays loaded for the life of the process: its code may be on a thread's stack.
Result<const CudaModule*> load_module(const std::filesystem::path& path) {
  const auto file = path.empty() ? module_beside_executable() : path;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    return fail(ErrorKind::unavailable, "the CUDA module is not installed (" + file.string() + ")");
  }
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(ErrorKind::unavailable,
                std::string("the CUDA module cannot be loaded: ") + dlerror());
  }
  const auto entry = reinterpret_cast<CudaModuleEntry>(dlsym(library, kCudaModuleSymbol));
  const CudaModule* module = entry == nullptr ? nullptr : entry();
  if (module == nullptr || module->version != kCudaModuleVersion) {
    return fail(ErrorKind::unavailable,
                file.string() + " belongs to another version of caretd; install both together");
  }
  return module;
}

}  // namespace

Result<std::vector<CudaDevice>> list_cuda_devices(const std::filesystem::path& module) {
  auto loaded = load_module(module);
  if (!loaded) return pass_on(std::move(loaded));
  return (*loaded)->list_devices();
}

Result<std::unique_ptr<CudaRunner>> make_cuda_runner(std::shared_ptr<const Checkpoint> checkpoint,
                                                     const RunnerOptions& options,
                                                     const Progress& progress, std::stop_token stop,
                                                     const std::filesystem::path& module) {
  auto loaded = load_module(module);
  if (!loaded) return pass_on(std::move(loaded));
  return (*loaded)->make_runner(std::move(checkpoint), options, progress, std::move(stop));
}

Result<std::unique_ptr<CudaRunner>> make_random_cuda_runner(const RandomModel& model,
                                                            const RunnerOptions& options,
                                                            const std::filesystem::path& module) {
  auto loaded = load_module(module);
  if (!loaded) return pass_on(std::move(loaded));
  return (*loaded)->make_random_runner(model, options);
}

}  // namespace caretd::engine
