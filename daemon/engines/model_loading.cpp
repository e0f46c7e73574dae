#include "daemon/engines/model_loading.h"

#include <algorithm>
#include <span>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "engine/cpu_runner.h"

namespace caretd::daemon {

namespace {

/// Activations, staging and graphs beside weights and KV pages.
constexpr std::int64_t kWorkingBytes = 512LL << 20;
/// Major compute capability of the oldest GPUs that the CUDA module has code for.
constexpr int kOldestCompute = 8;

double gibibytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1LL << 30);
}

/// The device the settings name.
Result<engine::CudaDevice> named_device(const ModelSettings& settings,
                                        const std::vector<engine::CudaDevice>& all) {
  const std::int64_t ordinal = settings.gpus.front();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const auto& device) { return device.ordinal == ordinal; });
  if (found != all.end()) return *found;
  return fail(ErrorKind::not_found,
              fmt::format("model.gpus names GPU {}, but this machine has {}", ordinal, all.size()));
}

Result<DeviceChoice> fit_on(const engine::CudaDevice& device, std::int64_t needed_bytes) {
  if (device.compute_major < kOldestCompute) {
    return fail(ErrorKind::unsupported,
                fmt::format("GPU {} ({}) is of compute capability {}.{} and caretd needs {}.0 or "
                            "newer",
                            device.ordinal, device.name, device.compute_major, device.compute_minor,
                            kOldestCompute));
  }
  if (device.free_bytes < needed_bytes) {
    return fail(ErrorKind::out_of_memory,
                fmt::format("GPU {} ({}) has {:.1f} GiB free and the model needs {:.1f} GiB there",
                            device.ordinal, device.name, gibibytes(device.free_bytes),
                            gibibytes(needed_bytes)));
  }
  return DeviceChoice{true, fmt::format("running on GPU {} ({})", device.ordinal, device.name),
                      device.ordinal};
}

/// The device that is named, or the first that will do. With none the Error is about the first one.
Result<DeviceChoice> find_device(const ModelSettings& settings,
                                 const std::vector<engine::CudaDevice>& all,
                                 std::int64_t needed_bytes) {
  if (all.empty()) return fail(ErrorKind::unavailable, "no GPU was found");
  if (!settings.gpus.empty()) {
    auto device = named_device(settings, all);
    return device ? fit_on(*device, needed_bytes) : pass_on(std::move(device));
  }
  auto first = fit_on(all.front(), needed_bytes);
  for (const engine::CudaDevice& device : std::span(all).subspan(1)) {
    if (first) break;
    if (auto choice = fit_on(device, needed_bytes)) return choice;
  }
  return first;
}

void tell_small_cache(const engine::RunnerInfo& info, const engine::RunnerOptions& options,
                      const Logger& log) {
  const std::int64_t bytes = info.pages * info.page_bytes;
  if (bytes + info.page_bytes > options.kv_bytes) return;
  log->warn("the KV cache gets {} MiB instead of {} MiB: no more memory is free", bytes >> 20,
            options.kv_bytes >> 20);
}

Result<std::unique_ptr<engine::Runner>> make_runner(
    const ModelSettings& settings, const InstallTree& install, const Logger& log,
    const std::shared_ptr<const engine::Checkpoint>& checkpoint, engine::RunnerOptions options,
    const engine::Progress& progress, const std::stop_token& stop) {
  const auto module = install.cuda_module();
  const auto devices = settings.device == "cpu" ? Result<std::vector<engine::CudaDevice>>{}
                                                : engine::list_cuda_devices(module);
  auto choice = choose_device(settings, devices, device_bytes_needed(*checkpoint, settings));
  if (!choice) return pass_on(std::move(choice));
  log->info("{}", choice->reason);
  if (!choice->cuda) return engine::make_cpu_runner(checkpoint, options, progress, stop);
  options.devices = {choice->ordinal};
  auto runner = engine::make_cuda_runner(checkpoint, options, progress, stop, module);
  if (runner || settings.device == "cuda") return runner;
  log->warn("running on the CPU: {}", runner.error().message);
  return engine::make_cpu_runner(checkpoint, options, progress, stop);
}

}  // namespace

std::filesystem::path model_folder(const ModelSettings& settings, const InstallTree& install) {
  return settings.path.empty() ? install.embedded_model() : std::filesystem::path(settings.path);
}

Result<void> check_gpu_count(const ModelSettings& settings) {
  if (settings.gpus.size() <= 1 || settings.device == "cpu") return {};
  return fail(ErrorKind::invalid_input,
              fmt::format("model.gpus names {} GPUs, but this version runs a model on one; name "
                          "one of them",
                          settings.gpus.size()));
}

Result<DeviceChoice> choose_device(const ModelSettings& settings,
                                   const Result<std::vector<engine::CudaDevice>>& devices,
                                   std::int64_t needed_bytes) {
  if (settings.device == "cpu") return DeviceChoice{false, "running on the CPU as configured"};
  if (auto one = check_gpu_count(settings); !one) return pass_on(std::move(one));
  auto choice = [&]() -> Result<DeviceChoice> {
    if (!devices) return fail(devices.error().kind, devices.error().message);
    return find_device(settings, *devices, needed_bytes);
  }();
  if (choice || settings.device == "cuda") return choice;
  // A GPU that comes back with the next start: the CPU would be slow for no reason to be seen.
  if (choice.error().kind == ErrorKind::device_fault) return choice;
  return DeviceChoice{false, "running on the CPU: " + choice.error().message};
}

std::int64_t device_bytes_needed(const engine::Checkpoint& checkpoint,
                                 const ModelSettings& settings) {
  return checkpoint.bytes() + (settings.kv_mebibytes << 20) + kWorkingBytes;
}

engine::RunnerOptions runner_options(const ModelSettings& settings,
                                     const engine::Tokenizer& tokenizer) {
  engine::RunnerOptions options;
  options.kv_bytes = settings.kv_mebibytes << 20;
  options.host_kv_bytes = settings.host_kv_mebibytes << 20;
  options.threads = static_cast<int>(settings.threads);
  options.precise = settings.precise;
  options.cpu_isa = settings.cpu_isa;
  options.devices.assign(settings.gpus.begin(), settings.gpus.end());
  options.real_vocab = tokenizer.size();
  return options;
}

engine::FimUse fim_use(const ModelSettings& settings) {
  if (settings.fim == "on") return engine::FimUse::always;
  return settings.fim == "off" ? engine::FimUse::never : engine::FimUse::where_trained;
}

Result<engine::LoadedModel> load_model(const ModelSettings& settings, const InstallTree& install,
                                       const Logger& log, const engine::Progress& progress,
                                       std::stop_token stop) {
  const auto folder = model_folder(settings, install);
  if (auto there = engine::check_model_folder(folder); !there) return pass_on(std::move(there));
  auto tokenizer = engine::Tokenizer::load(folder);
  if (!tokenizer) return pass_on(std::move(tokenizer));
  auto checkpoint = engine::Checkpoint::open(folder);
  if (!checkpoint) return pass_on(std::move(checkpoint));
  const auto options = runner_options(settings, **tokenizer);
  if ((*tokenizer)->size() > (*checkpoint)->config().vocab_size) {
    return fail(
        ErrorKind::invalid_input,
        fmt::format("{}: tokenizer.json has {} tokens and config.json a vocabulary of {}; "
                    "the two belong to different models",
                    folder.string(), (*tokenizer)->size(), (*checkpoint)->config().vocab_size));
  }
  auto runner = make_runner(settings, install, log, *checkpoint, options, progress, stop);
  if (!runner) return pass_on(std::move(runner));
  tell_small_cache((*runner)->info(), options, log);
  if (auto intact = (*checkpoint)->check_intact(); !intact) return pass_on(std::move(intact));
  engine::LoadedModel model;
  model.runner = *std::move(runner);
  model.tokenizer = *std::move(tokenizer);
  model.config = (*checkpoint)->config();
  model.name = folder.filename().string();
  model.fim = fim_use(settings);
  return model;
}

}  // namespace caretd::daemon
