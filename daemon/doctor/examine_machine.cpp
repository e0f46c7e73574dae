// The machine's part of the doctor: CPU, memory, GPUs.
#include <algorithm>
#include <fstream>
#include <string>

#include <sched.h>
#include <spdlog/fmt/fmt.h>

#include "daemon/doctor/doctor.h"
#include "daemon/engines/model_loading.h"
#include "daemon/quantities.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/cpu/memory.h"

namespace caretd::daemon {

namespace {

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

/// Tensors of a checkpoint of this shape. In FP8, embedding, head and routers stay BF16 and each
/// block of 128 x 128 has a scale (`caretd models quantize`).
std::int64_t weight_bytes(const engine::ModelConfig& config, bool fp8) {
  constexpr std::int64_t kBf16 = 2;
  constexpr std::int64_t kBlock = 128 * 128;
  const std::int64_t all = config.parameters();
  if (!fp8) return kBf16 * all;
  const std::int64_t tables = config.tied_embeddings ? 1 : 2;
  const std::int64_t moe_layers = std::max(0, config.layers - config.dense_layers);
  const std::int64_t kept =
      config.hidden * (tables * config.vocab_size + moe_layers * config.routed_experts);
  return kBf16 * kept + (all - kept) + (all - kept) / kBlock * std::int64_t{sizeof(float)};
}

Finding describe_needs(const engine::Checkpoint& checkpoint, const ModelSettings& settings) {
  const auto& config = checkpoint.config();
  const std::int64_t kv_bytes = settings.kv_mebibytes << 20;
  const std::int64_t kv_of_token = std::int64_t{2} * config.kv_width() * config.layers;
  return {"memory",
          Severity::good,
          fmt::format("the weights are {} ({} as BF16, {} as FP8); the KV cache of {} holds "
                      "{} tokens (model.kv_mebibytes)",
                      memory_size(checkpoint.bytes()), memory_size(weight_bytes(config, false)),
                      memory_size(weight_bytes(config, true)), memory_size(kv_bytes),
                      kv_bytes / kv_of_token),
          {}};
}

Finding describe_gpu(const engine::CudaDevice& gpu, std::int64_t needed) {
  const std::string text = fmt::format("GPU {}: {}, compute capability {}.{}, {} of {} free",
                                       gpu.ordinal, gpu.name, gpu.compute_major, gpu.compute_minor,
                                       memory_size(gpu.free_bytes), memory_size(gpu.total_bytes));
  if (gpu.compute_major < 8) {
    return {"gpu", Severity::note, text,
            "GPUs before compute capability 8.0 are not supported; use another or the CPU"};
  }
  if (gpu.free_bytes < needed) {
    return {"gpu", Severity::note, text + "; the model needs " + memory_size(needed) + " there",
            "free memory on it, lower model.kv_mebibytes or use an FP8 model (caretd models "
            "quantize)"};
  }
  return {"gpu", Severity::good, text + "; the model fits", {}};
}

/// The driver's own sentence; nothing where no driver is loaded.
std::string driver_version() {
  std::string line;
  std::getline(std::ifstream("/proc/driver/nvidia/version"), line);
  const std::size_t colon = line.find(':');
  return colon == std::string::npos ? line : line.substr(line.find_first_not_of(' ', colon + 1));
}

Finding without_gpus(const Error& error, bool insists, bool driver) {
  return {"gpu", insists ? Severity::problem : Severity::note, error.message,
          driver ? "an NVIDIA driver is loaded: install the CUDA module (lib/caretd/caretd_cuda.so "
                   "beside bin/caretd), or set model.device = \"cpu\" to silence this"
                 : "nothing to do where there is no NVIDIA GPU; where there is one, install its "
                   "driver and the CUDA module"};
}

Finding describe_main_memory(std::int64_t needed, std::int64_t available, bool on_gpu) {
  const bool fits = needed <= available;
  return {"memory", fits || on_gpu ? Severity::good : Severity::note,
          fmt::format("{} of main memory available; on the CPU the model needs {}",
                      memory_size(available), memory_size(needed)),
          fits ? "" : "use a smaller or quantized model, or a GPU"};
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
  const auto checkpoint = engine::Checkpoint::open(model_folder(settings, context.install));
  const std::int64_t needed = checkpoint ? device_bytes_needed(**checkpoint, settings) : 0;
  const bool insists = settings.device == "cuda";
  const std::string driver = driver_version();
  std::vector<Finding> findings;
  if (!driver.empty()) findings.push_back({"gpu", Severity::good, "driver: " + driver, {}});
  const auto one_gpu = check_gpu_count(settings);
  if (!one_gpu) {
    findings.push_back({"gpu", Severity::problem, one_gpu.error().message,
                        "set model.gpus to a list of one number"});
  }
  const auto gpus = engine::list_cuda_devices(context.install.cuda_module());
  if (gpus) {
    for (const auto& gpu : *gpus) findings.push_back(describe_gpu(gpu, needed));
    const auto choice = choose_device(settings, gpus, needed);
    if (!choice && one_gpu) {
      findings.push_back({"gpu", Severity::problem, choice.error().message,
                          "correct model.gpus, or set model.device = \"auto\""});
    }
  } else {
    findings.push_back(without_gpus(gpus.error(), insists, !driver.empty()));
  }
  if (checkpoint) findings.push_back(describe_needs(**checkpoint, settings));
  const std::int64_t available = engine::available_memory();
  if (checkpoint && available != engine::kUnlimitedMemory) {
    findings.push_back(describe_main_memory(needed, available, insists));
  }
  return findings;
}

}  // namespace caretd::daemon
