#include "engine/cuda/runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "engine/cpu/memory.h"
#include "engine/cpu/step_timing.h"
#include "engine/cuda/prefill_runner.h"
#include "engine/cuda/step_profile.h"
#include "engine/cuda/step_runner.h"
#include "kernels/cuda/read_stream.h"

namespace caretd::engine::cuda {
namespace {

constexpr int kMaxBatchRuns = 64;
constexpr int kMaxBatchTokens = PrefillRunner::kMaxTokens;
constexpr std::int64_t kStepBytes = std::int64_t{256} << 20;  // kept free for steps

std::string gibibytes(std::int64_t bytes) {
  const double value = static_cast<double>(bytes) / static_cast<double>(1 << 30);
  std::string text = std::to_string(std::round(value * 10) / 10);
  return text.substr(0, text.find('.') + 2) + " GiB";
}

/// The device a runner works on.
struct Device {
  int ordinal = 0;
  std::string name;
  gpu::DeviceLimits limits;
};

Result<Device> open_device(const RunnerOptions& options) {
  if (options.devices.size() > 1) {
    return fail(ErrorKind::unsupported,
                "this build runs on one GPU; name one in the list of devices");
  }
  Device device;
  device.ordinal = options.devices.empty() ? 0 : options.devices.front();
  cudaDeviceProp properties;
  auto done = gpu::check(cudaSetDevice(device.ordinal), "selecting it");
  if (done) done = gpu::check(cudaGetDeviceProperties(&properties, device.ordinal), "reading it");
  if (!done) return pass_on(std::move(done));
  if (properties.major < 8) {
    return fail(ErrorKind::unsupported,
                std::string(properties.name) +
                    " is too old: caretd needs a GPU of compute capability 8.0 or newer");
  }
  device.name = properties.name;
  device.limits = {properties.multiProcessorCount,
                   static_cast<int>(properties.sharedMemPerBlockOptin)};
  return device;
}

Result<int> attention_tile(cudaStream_t stream) {
  auto rows = gpu::PinnedBuffer::allocate(sizeof(int), "asking for the sizes of the kernels");
  if (!rows) return pass_on(std::move(rows));
  auto done = gpu::check(gpu::read_attention_tile(rows->as<int>(), stream), "starting a kernel");
  if (done) done = gpu::check(cudaStreamSynchronize(stream), "running a kernel");
  if (!done) return pass_on(std::move(done));
  return *rows->as<int>();
}

class GpuRunner final : public CudaRunner {
 public:
  struct Parts {
    Device device;
    gpu::Stream stream;
    DeviceModel model;
    gpu::DeviceBuffer pages;
    gpu::PinnedBuffer page_staging;
    gpu::Event begin;
    gpu::Event end;
    gpu::Event launched;
  };

  GpuRunner(Parts parts, StepRunner steps, PrefillRunner prefill, RunnerInfo info)
      : parts_(std::move(parts)),
        steps_(std::move(steps)),
        prefill_(std::move(prefill)),
        info_(std::move(info)),
        timing_(parts_.model.config) {}

  [[nodiscard]] const RunnerInfo& info() const override { return info_; }

  [[nodiscard]] Result<std::span<const OutputRow>> forward(
      std::span<const TokenRun> batch) override {
    if (auto ok = enter(); !ok) return pass_on(std::move(ok));
    if (auto ok = check_batch(batch); !ok) return pass_on(std::move(ok));
    const TimePoint start = clock_.now();
    auto done = run(batch, start);
    if (!done) return note_fault(std::move(done));
    timing_.record(batch, clock_.now() - start);
    return steps_.rows();
  }

  [[nodiscard]] Result<void> copy_page(PageId from, PageId to, int tokens) override {
    if (auto ok = enter(); !ok) return ok;
    if (auto ok = check_page(from); !ok) return ok;
    if (auto ok = check_page(to); !ok) return ok;
    const auto row = static_cast<std::size_t>(parts_.model.dims.kv_width()) * 2;
    const std::size_t pitch = row * kPageTokens;
    auto done = gpu::check(
        cudaMemcpy2DAsync(page(to), pitch, page(from), pitch,
                          row * static_cast<std::size_t>(std::clamp(tokens, 0, kPageTokens)),
                          static_cast<std::size_t>(parts_.model.dims.layers),
                          cudaMemcpyDeviceToDevice, parts_.stream.get()),
        "copying a page");
    return done ? done : note_fault(std::move(done));
  }

  [[nodiscard]] Result<void> read_page(PageId id, std::span<std::byte> out) override {
    if (auto ok = enter(); !ok) return ok;
    if (auto ok = check_page(id, out.size()); !ok) return ok;
    auto done = gpu::check(cudaMemcpyAsync(parts_.page_staging.bytes(), page(id), out.size(),
                                           cudaMemcpyDeviceToHost, parts_.stream.get()),
                           "reading a page");
    if (done) done = parts_.stream.synchronize("reading a page");
    if (!done) return note_fault(std::move(done));
    std::memcpy(out.data(), parts_.page_staging.bytes(), out.size());
    return {};
  }

  [[nodiscard]] Result<void> write_page(PageId id, std::span<const std::byte> in) override {
    if (auto ok = enter(); !ok) return ok;
    if (auto ok = check_page(id, in.size()); !ok) return ok;
    std::memcpy(parts_.page_staging.bytes(), in.data(), in.size());
    auto done = gpu::check(cudaMemcpyAsync(page(id), parts_.page_staging.bytes(), in.size(),
                                           cudaMemcpyHostToDevice, parts_.stream.get()),
                           "writing a page");
    if (done) done = parts_.stream.synchronize("writing a page");
    return done ? done : note_fault(std::move(done));
  }

  [[nodiscard]] int tokens_within(Duration duration, int position) const override {
    return timing_.tokens_within(duration, position);
  }

  [[nodiscard]] const CudaStepStatistics& statistics() const override { return statistics_; }
  void force_routing(std::uint32_t seed) override {
    steps_.force_routing(seed);
    prefill_.force_routing(seed);
  }
  void enable_timing(bool enabled) override { timed_ = enabled; }
  void enable_profile(bool enabled) override { steps_.enable_profile(enabled); }
  [[nodiscard]] std::vector<CudaOperationTime> profile() const override {
    const auto marks = steps_.profile_marks();
    if (!marks) return {};
    return sum_operations(step_operations(parts_.model.dims, steps_.combined_separately(), true),
                          *marks, statistics_.device_seconds);
  }

  [[nodiscard]] Result<double> measure_read_bandwidth(std::int64_t bytes) override {
    if (auto ok = enter(); !ok) return pass_on(std::move(ok));
    auto sink = gpu::DeviceBuffer::allocate(4, "measuring");
    if (!sink) return pass_on(std::move(sink));
    const gpu::DeviceBuffer& largest = *std::ranges::max_element(
        parts_.model.buffers, {}, [](const gpu::DeviceBuffer& b) { return b.size(); });
    bytes = std::min<std::int64_t>(bytes, static_cast<std::int64_t>(largest.size())) / 16 * 16;
    double best = 0;
    for (int i = 0; i < 10; ++i) {
      cudaEventRecord(parts_.begin.get(), parts_.stream.get());
      auto done =
          gpu::check(gpu::read_stream(largest.bytes(), bytes, parts_.device.limits.multiprocessors,
                                      sink->as<unsigned>(), parts_.stream.get()),
                     "measuring");
      cudaEventRecord(parts_.end.get(), parts_.stream.get());
      if (done) done = parts_.stream.synchronize("measuring");
      if (!done) return note_fault(std::move(done));
      float milliseconds = 0;
      cudaEventElapsedTime(&milliseconds, parts_.begin.get(), parts_.end.get());
      best = std::max(best, static_cast<double>(bytes) / (milliseconds * 1e-3));
    }
    return best;
  }

 private:
  Result<void> run(std::span<const TokenRun> batch, TimePoint start) {
    std::size_t rows = 0;
    for (const TokenRun& run : batch) {
      if (run.output != Output::none) rows += run.every_row ? run.tokens.size() : 1;
    }
    steps_.begin_forward(rows);
    prefilled_experts_ = 0;
    if (auto ok = note_time(parts_.begin); !ok) return ok;
    if (auto ok = queue_steps(batch); !ok) {
      // What was queued before it failed reads input that the next forward() overwrites.
      if (auto waited = parts_.stream.synchronize("running a step"); !waited) return waited;
      return ok;
    }
    if (auto ok = note_time(parts_.end); !ok) return ok;
    statistics_.host_seconds = std::chrono::duration<double>(clock_.now() - start).count();
    if (auto ok = steps_.finish(); !ok) return ok;
    collect_statistics(batch);
    return {};
  }

  Result<void> note_time(const gpu::Event& event) {
    if (!timed_) return {};
    return gpu::check(cudaEventRecord(event.get(), parts_.stream.get()), "a step");
  }

  /// Packs the runs into steps of at most max_tokens() tokens, in order.
  Result<void> queue_steps(std::span<const TokenRun> batch) {
    std::vector<RunPiece> pieces;
    int used = 0;
    const auto flush = [&]() -> Result<void> {
      if (pieces.empty()) return {};
      auto done = steps_.queue(pieces);
      pieces.clear();
      used = 0;
      return done;
    };
    for (const TokenRun& run : batch) {
      const int tokens = static_cast<int>(run.tokens.size());
      if (prefill_.supported() && tokens > steps_.max_tokens()) {
        if (auto ok = flush(); !ok) return ok;
        if (auto ok = queue_prefill(run); !ok) return ok;
        continue;
      }
      for (int begin = 0; begin < tokens;) {
        const int taken = std::min(steps_.max_tokens() - used, tokens - begin);
        pieces.push_back({&run, begin, begin + taken});
        used += taken;
        begin += taken;
        if (used == steps_.max_tokens()) {
          if (auto ok = flush(); !ok) return ok;
        }
      }
    }
    return flush();
  }

  /// A run longer than a step; the head takes its output rows as steps of their own.
  Result<void> queue_prefill(const TokenRun& run) {
    if (auto ok = prefill_.queue(run); !ok) return ok;
    prefilled_experts_ += std::int64_t{parts_.model.dims.experts} *
                          parts_.model.dims.moe_index(parts_.model.dims.layers);
    if (run.output == Output::none) return {};
    const int tokens = static_cast<int>(run.tokens.size());
    for (int row = run.every_row ? 0 : tokens - 1; row < tokens; row += steps_.max_tokens()) {
      const int rows = std::min(steps_.max_tokens(), tokens - row);
      if (auto ok = steps_.queue_head(
              prefill_.rows() + static_cast<std::int64_t>(row) * parts_.model.dims.hidden, rows,
              run.output);
          !ok) {
        return ok;
      }
    }
    return {};
  }

  void collect_statistics(std::span<const TokenRun> batch) {
    float milliseconds = 0;
    if (timed_) cudaEventElapsedTime(&milliseconds, parts_.begin.get(), parts_.end.get());
    statistics_.device_seconds = milliseconds * 1e-3;
    statistics_.launches = steps_.launches();
    statistics_.distinct_experts = steps_.distinct_experts() + prefilled_experts_;
    statistics_.weight_bytes = gpu::step_weight_bytes(parts_.model.dims, parts_.model.format,
                                                      statistics_.distinct_experts);
    statistics_.kv_bytes = 0;
    for (const TokenRun& run : batch) {
      statistics_.kv_bytes += (run.position + static_cast<std::int64_t>(run.tokens.size())) *
                              (info_.page_bytes / kPageTokens);
    }
  }

  [[nodiscard]] std::byte* page(PageId id) const {
    return parts_.pages.bytes() + id * info_.page_bytes;
  }

  /// What every call begins with: which device is current is a matter of the calling thread.
  [[nodiscard]] Result<void> enter() {
    if (fault_) return tl::unexpected(*fault_);
    auto done = gpu::check(cudaSetDevice(parts_.device.ordinal), "selecting the GPU");
    return done ? done : note_fault(std::move(done));
  }

  /// A device fault makes the runner unusable, a lack of memory concerns the call alone.
  template <typename T>
  tl::unexpected<Error> note_fault(Result<T>&& result) {
    if (result.error().kind == ErrorKind::device_fault) fault_ = result.error();
    return pass_on(std::move(result));
  }

  [[nodiscard]] Result<void> check_page(PageId id) const {
    if (id >= 0 && id < info_.pages) return {};
    return fail(ErrorKind::invalid_input, "there is no KV page " + std::to_string(id));
  }
  [[nodiscard]] Result<void> check_page(PageId id, std::size_t bytes) const {
    if (bytes != static_cast<std::size_t>(info_.page_bytes)) {
      return fail(ErrorKind::invalid_input, "a KV page has " + std::to_string(info_.page_bytes) +
                                                " bytes, not " + std::to_string(bytes));
    }
    return check_page(id);
  }

  [[nodiscard]] Result<void> check_batch(std::span<const TokenRun> batch) const {
    std::size_t tokens = 0;
    for (const TokenRun& run : batch) {
      tokens += run.tokens.size();
      if (auto ok = check_run(run); !ok) return ok;
    }
    if (batch.empty() || batch.size() > kMaxBatchRuns || tokens > kMaxBatchTokens) {
      return fail(ErrorKind::invalid_input,
                  "a batch has 1 to 64 runs and at most 8192 tokens, not " +
                      std::to_string(batch.size()) + " and " + std::to_string(tokens));
    }
    return {};
  }

  [[nodiscard]] Result<void> check_run(const TokenRun& run) const {
    const ModelConfig& config = parts_.model.config;
    const auto end =
        static_cast<std::int64_t>(run.position) + static_cast<std::int64_t>(run.tokens.size());
    if (run.tokens.empty() || run.position < 0 || end > config.context_tokens) {
      return fail(ErrorKind::invalid_input, "the model has " +
                                                std::to_string(config.context_tokens) +
                                                " positions; a run ends at " + std::to_string(end));
    }
    if (end > static_cast<std::int64_t>(run.pages.size()) * kPageTokens) {
      return fail(ErrorKind::invalid_input, "a run has too few KV pages");
    }
    for (const PageId id : run.pages) {
      if (auto ok = check_page(id); !ok) return ok;
    }
    for (const TokenId id : run.tokens) {
      if (id < 0 || id >= config.vocab_size) {
        return fail(ErrorKind::invalid_input, "token id " + std::to_string(id) +
                                                  " is outside the vocabulary of " +
                                                  std::to_string(config.vocab_size));
      }
    }
    return {};
  }

  Parts parts_;
  StepRunner steps_;
  PrefillRunner prefill_;
  RunnerInfo info_;
  StepTiming timing_;
  SteadyClock clock_;
  bool timed_ = false;
  CudaStepStatistics statistics_;
  std::int64_t prefilled_experts_ = 0;  ///< read by the prefills of the current forward()
  std::optional<Error> fault_;          ///< that made the runner unusable
};

/// Fills the weights of an allocated model.
using Fill =
    std::function<Result<void>(DeviceModel& model, const Device& device, cudaStream_t stream)>;

Result<void> check_memory(const Device& device, std::int64_t weights, std::int64_t kv,
                          std::int64_t scratch) {
  std::size_t free = 0;
  std::size_t total = 0;
  if (auto ok = gpu::check(cudaMemGetInfo(&free, &total), "reading its memory"); !ok) return ok;
  const std::int64_t needed = weights + kv + scratch;
  if (needed <= static_cast<std::int64_t>(free)) return {};
  return fail(ErrorKind::out_of_memory,
              device.name + " has " + gibibytes(static_cast<std::int64_t>(free)) +
                  " free and the model needs " + gibibytes(needed) + ": " + gibibytes(weights) +
                  " of weights, " + gibibytes(kv) + " of KV cache and " + gibibytes(scratch) +
                  " to work with");
}

RunnerInfo describe(const Device& device, const DeviceModel& model, const RunnerOptions& options,
                    std::int64_t page_bytes) {
  RunnerInfo info;
  info.device = device.name;
  info.weight_format = model.format == gpu::Format::fp8 ? "FP8" : "BF16";
  info.page_bytes = page_bytes;
  info.pages = static_cast<int>(std::min<std::int64_t>(options.kv_bytes / page_bytes, 1 << 24));
  info.host_pages = static_cast<int>(
      std::min<std::int64_t>(affordable(options.host_kv_bytes) / page_bytes, 1 << 24));
  info.weight_bytes = model.bytes;
  info.weight_bytes_per_token = gpu::step_weight_bytes(
      model.dims, model.format,
      std::int64_t{model.dims.topk} * model.dims.moe_index(model.dims.layers));
  info.max_batch_runs = kMaxBatchRuns;
  info.max_batch_tokens = kMaxBatchTokens;
  return info;
}

Result<std::unique_ptr<CudaRunner>> build(const ModelConfig& config, gpu::Format format,
                                          const RunnerOptions& options, const Fill& fill) {
  auto device = open_device(options);
  if (!device) return pass_on(std::move(device));
  auto dims = step_dims(config, options.real_vocab, Shard{});
  if (!dims) return pass_on(std::move(dims));
  const std::int64_t page_bytes = std::int64_t{2} * config.layers * kPageTokens * dims->kv_width();
  const std::int64_t pages = options.kv_bytes / page_bytes;
  if (pages < 1) {
    return fail(ErrorKind::invalid_input, "the KV budget of " + std::to_string(options.kv_bytes) +
                                              " bytes holds no page of " +
                                              std::to_string(page_bytes));
  }
  const auto positions =
      static_cast<int>(std::min<std::int64_t>(config.context_tokens, pages * kPageTokens));
  if (auto ok = check_memory(*device, weight_bytes(*dims, format, config.context_tokens),
                             pages * page_bytes,
                             kStepBytes + PrefillRunner::scratch_bytes(*dims, positions));
      !ok) {
    return pass_on(std::move(ok));
  }
  GpuRunner::Parts parts;
  parts.device = *device;
  auto stream = gpu::Stream::create();
  if (!stream) return pass_on(std::move(stream));
  parts.stream = *std::move(stream);
  auto tile = attention_tile(parts.stream.get());
  if (!tile) return pass_on(std::move(tile));
  parts.device.limits.attention_tile = *tile;
  auto model = allocate_model(config, *dims, format, parts.stream.get());
  if (!model) return pass_on(std::move(model));
  parts.model = *std::move(model);
  if (auto ok = fill(parts.model, *device, parts.stream.get()); !ok) return pass_on(std::move(ok));
  if (auto ok = derive_weights(parts.model, parts.stream.get()); !ok) return pass_on(std::move(ok));

  auto pool = gpu::DeviceBuffer::allocate(static_cast<std::size_t>(pages * page_bytes),
                                          "allocating the KV cache");
  if (!pool) return pass_on(std::move(pool));
  parts.pages = *std::move(pool);
  // Rows that no token has written yet are multiplied by zero and must be finite.
  auto done =
      gpu::check(cudaMemsetAsync(parts.pages.bytes(), 0, parts.pages.size(), parts.stream.get()),
                 "clearing the KV cache");
  if (done)
    done = parts.page_staging.reserve(static_cast<std::size_t>(page_bytes), "allocating a page");
  for (gpu::Event* event : {&parts.begin, &parts.end, &parts.launched}) {
    if (!done) break;
    auto created = gpu::Event::create();
    if (!created) return pass_on(std::move(created));
    *event = *std::move(created);
  }
  if (!done) return pass_on(std::move(done));
  RunnerInfo info = describe(*device, parts.model, options, page_bytes);
  auto steps =
      StepRunner::create(parts.model, parts.pages.bytes(), parts.device.limits, parts.stream.get());
  if (!steps) return pass_on(std::move(steps));
  auto prefill = PrefillRunner::create(parts.model, parts.pages.bytes(), parts.stream.get());
  if (!prefill) return pass_on(std::move(prefill));
  return std::make_unique<GpuRunner>(std::move(parts), *std::move(steps), *std::move(prefill),
                                     std::move(info));
}

}  // namespace

Result<std::vector<CudaDevice>> list_devices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    return fail(ErrorKind::unavailable,
                "the NVIDIA driver is missing or too old for this build of caretd; install a "
                "driver for CUDA 13 or newer");
  }
  if (gpu::lasts(error)) return pass_on(gpu::check(error, "being counted"));
  // Before the count, which stays 0 then.
  if (error != cudaSuccess && error != cudaErrorNoDevice) {
    return fail(ErrorKind::unavailable,
                std::string("the NVIDIA driver does not answer: ") + cudaGetErrorString(error) +
                    (error == cudaErrorSystemDriverMismatch
                         ? "; after an update of the driver the machine has to be restarted"
                         : ""));
  }
  if (count == 0) return fail(ErrorKind::unavailable, "this machine has no NVIDIA GPU");
  int current = 0;
  const bool known = cudaGetDevice(&current) == cudaSuccess;
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    std::size_t free = 0;
    std::size_t total = 0;
    cudaError_t answer = cudaGetDeviceProperties(&properties, i);
    if (answer == cudaSuccess) answer = cudaSetDevice(i);
    if (answer == cudaSuccess) answer = cudaMemGetInfo(&free, &total);
    if (gpu::lasts(answer)) return pass_on(gpu::check(answer, "being asked for its memory"));
    if (answer != cudaSuccess) continue;
    devices.push_back({i, properties.name, properties.major, properties.minor,
                       static_cast<std::int64_t>(total), static_cast<std::int64_t>(free)});
  }
  if (known) cudaSetDevice(current);
  return devices;
}

Result<std::unique_ptr<CudaRunner>> make_runner(std::shared_ptr<const Checkpoint> checkpoint,
                                                const RunnerOptions& options,
                                                const Progress& progress, std::stop_token stop) {
  const gpu::Format format = stream_format(checkpoint->weights());
  return build(checkpoint->config(), format, options,
               [&](DeviceModel& model, const Device& device, cudaStream_t) {
                 return load_weights(*checkpoint, Shard{}, model, device.ordinal, progress, stop);
               });
}

Result<std::unique_ptr<CudaRunner>> make_random_runner(const RandomModel& model,
                                                       const RunnerOptions& options) {
  const gpu::Format format = model.fp8 ? gpu::Format::fp8 : gpu::Format::bf16;
  return build(model.config, format, options,
               [&](DeviceModel& allocated, const Device&, cudaStream_t stream) {
                 return randomize_weights(allocated, model.seed, stream);
               });
}

}  // namespace caretd::engine::cuda
