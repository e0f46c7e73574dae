// The machine's part of the doctor: CPU, memory, GPUs.
#include <filesystem>
#include <fstream>
#include <string>

#include <sched.h>
#include <spdlog/fmt/fmt.h>

#include "daemon/doctor/doctor.h"
#include "daemon/model_loading.h"
#include "engine/checkpoint/checkpoint.h"

namespace caretd::daemon {

namespace {

double gibibytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1LL << 30);
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

std::string cpu_features() {
  std::string features;
  const auto add = [&features](bool has, const char* name) {
    if (has) features += (features.empty() ? "" : ", ") + std::string(name);
  };
#if defined(__x86_64__)
  add(__builtin_cpu_supports("avx2") != 0, "AVX2");
  add(__builtin_cpu_supports("avx512f") != 0, "AVX-512");
  add(__builtin_cpu_supports("avx512bf16") != 0, "AVX-512 BF16");
  add(__builtin_cpu_supports("avx512vnni") != 0, "AVX-512 VNNI");
#endif
  return features;
}

/// MemAvailable of /proc/meminfo; 0 where it is not told.
std::int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::int64_t kibibytes = 0;
  std::string rest;
  while (file >> name >> kibibytes && std::getline(file, rest)) {
    if (name == "MemAvailable:") return kibibytes << 10;
  }
  return 0;
}

std::int64_t needed_bytes(const CommandContext& context, const ModelSettings& settings) {
  const auto checkpoint = engine::Checkpoint::open(model_folder(settings, context.install));
  return checkpoint ? device_bytes_needed(**checkpoint, settings) : 0;
}

Finding describe_gpu(const engine::CudaDevice& gpu, std::int64_t needed, std::size_t shares) {
  const auto each = needed / static_cast<std::int64_t>(shares);
  const std::string text = fmt::format(
      "GPU {}: {}, compute capability {}.{}, {:.1f} of {:.1f} GiB free", gpu.ordinal, gpu.name,
      gpu.compute_major, gpu.compute_minor, gibibytes(gpu.free_bytes), gibibytes(gpu.total_bytes));
  if (gpu.compute_major < 8) {
    return {"gpu", Severity::note, text, "GPUs before compute capability 8.0 are not supported"};
  }
  if (gpu.free_bytes < each) {
    return {"gpu", Severity::note,
            text + fmt::format("; the model needs {:.1f} GiB there", gibibytes(each)),
            "free memory on it, lower model.kv_mebibytes, use an FP8 model (caretd models "
            "quantize) or name several GPUs in model.gpus"};
  }
  return {"gpu", Severity::good, text + "; the model fits", {}};
}

}  // namespace

std::vector<Finding> examine_cpu(const ModelSettings& settings) {
  const std::string features = cpu_features();
  std::vector<Finding> findings;
  findings.push_back({"cpu", features.empty() ? Severity::note : Severity::good,
                      fmt::format("{} cores, {}", usable_cores(),
                                  features.empty() ? "neither AVX2 nor AVX-512" : features),
                      features.empty() ? "the portable code is slow; use a GPU" : ""});
  if (settings.threads > usable_cores()) {
    findings.push_back(
        {"cpu", Severity::note,
         fmt::format("model.threads is {}, more than there are cores", settings.threads),
         "set model.threads = 0"});
  }
  return findings;
}

std::vector<Finding> examine_gpus(const CommandContext& context, const ModelSettings& settings) {
  const std::int64_t needed = needed_bytes(context, settings);
  const std::int64_t available = available_memory();
  std::vector<Finding> findings;
  const bool driver = std::filesystem::exists("/proc/driver/nvidia/version");
  const auto gpus = engine::list_cuda_devices(context.install.cuda_module());
  const bool insists = settings.device == "cuda";
  if (!gpus) {
    findings.push_back(
        {"gpu", insists ? Severity::problem : Severity::note,
         (driver ? "an NVIDIA driver is loaded, but " : "") + gpus.error().message,
         insists ? "install the driver and the CUDA module, or set model.device" : ""});
  } else {
    const std::size_t shares = std::max<std::size_t>(1, settings.gpus.size());
    for (const auto& gpu : *gpus) findings.push_back(describe_gpu(gpu, needed, shares));
    const auto choice = choose_device(settings, gpus, needed);
    if (!choice) findings.push_back({"gpu", Severity::problem, choice.error().message, {}});
  }
  if (needed > 0 && available > 0) {
    const bool fits = needed <= available;
    findings.push_back({"memory",
                        fits || settings.device == "cuda" ? Severity::good : Severity::note,
                        fmt::format("{:.1f} GiB available, on the CPU the model needs {:.1f} GiB",
                                    gibibytes(available), gibibytes(needed)),
                        fits ? "" : "use a smaller or quantized model, or a GPU"});
  }
  return findings;
}

}  // namespace caretd::daemon
