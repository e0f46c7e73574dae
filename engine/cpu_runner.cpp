#include "engine/cpu_runner.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "engine/cpu/forward.h"
#include "engine/cpu/kv_pages.h"
#include "engine/cpu/packed_model.h"
#include "engine/cpu/step_timing.h"
#include "engine/cpu/thread_team.h"
#include "engine/cpu/work.h"

namespace caretd::engine {

namespace {

constexpr int kMaxBatchTokens = 512;  // bounds the activations; more at once is no faster
constexpr int kMaxBatchRuns = 64;
/// What is left to 10 ms other programs may take: their turns on a core are some milliseconds
/// long. A prompt takes up to a twentieth longer than in steps of 8 ms, a quarter than in those
/// of 40.
constexpr Duration kKeystrokeStep = std::chrono::milliseconds(6);

constexpr std::int64_t kLeastKvBytes = std::int64_t{16} << 20;  // however little is free

/// What stays constant while the runner lives.
struct Loaded {
  ModelConfig config;
  const kernels::cpu::Kernels* kernels = nullptr;
  std::unique_ptr<ThreadTeam> team;
  PackedModel model;
  KvPages pages;
  int real_vocab = 0;
  std::string weight_format;
};

class CpuRunner final : public Runner {
 public:
  explicit CpuRunner(Loaded loaded)
      : loaded_(std::move(loaded)),
        workers_(*loaded_.kernels, *loaded_.team, forward_scratch(loaded_.config)),
        forward_(loaded_.config, loaded_.model, loaded_.pages, workers_, loaded_.real_vocab),
        timing_(loaded_.config) {
    const std::string threads = std::to_string(loaded_.team->size());
    info_.device = std::string("CPU (") + loaded_.kernels->name + ", " + threads +
                   (loaded_.team->size() == 1 ? " thread)" : " threads)");
    info_.weight_format = loaded_.weight_format;
    info_.pages = loaded_.pages.count();
    info_.page_bytes = loaded_.pages.page_bytes();
    info_.weight_bytes = loaded_.model.bytes();
    info_.weight_bytes_per_token = loaded_.model.bytes_per_token(loaded_.config);
    info_.keystroke_step = kKeystrokeStep;
    info_.max_batch_runs = kMaxBatchRuns;
    info_.max_batch_tokens = kMaxBatchTokens;
  }

  [[nodiscard]] const RunnerInfo& info() const override { return info_; }

  [[nodiscard]] Result<std::span<const OutputRow>> forward(
      std::span<const TokenRun> batch) override {
    if (auto valid = check_batch(batch); !valid) return pass_on(std::move(valid));
    const TimePoint start = clock_.now();
    auto rows = forward_.run(batch);
    timing_.record(batch, clock_.now() - start);
    return rows;
  }

  [[nodiscard]] Result<void> copy_page(PageId from, PageId to, int tokens) override {
    if (auto valid = check_page(from); !valid) return valid;
    if (auto valid = check_page(to); !valid) return valid;
    loaded_.pages.copy(from, to, tokens);
    return {};
  }

  [[nodiscard]] Result<void> read_page(PageId page, std::span<std::byte> out) override {
    if (auto valid = check_page(page, out.size()); !valid) return valid;
    std::ranges::copy(loaded_.pages.bytes(page), out.begin());
    return {};
  }

  [[nodiscard]] Result<void> write_page(PageId page, std::span<const std::byte> in) override {
    if (auto valid = check_page(page, in.size()); !valid) return valid;
    std::ranges::copy(in, loaded_.pages.bytes(page).begin());
    return {};
  }

  [[nodiscard]] int tokens_within(Duration duration, int position) const override {
    return std::min(timing_.tokens_within(duration, position), kMaxBatchTokens);
  }

 private:
  [[nodiscard]] Result<void> check_page(PageId page) const {
    if (loaded_.pages.contains(page)) return {};
    return fail(ErrorKind::internal, "Page " + std::to_string(page) + " is not in the KV pool.");
  }

  [[nodiscard]] Result<void> check_page(PageId page, std::size_t bytes) const {
    if (static_cast<std::int64_t>(bytes) == info_.page_bytes) return check_page(page);
    return fail(ErrorKind::internal, "A KV page has " + std::to_string(info_.page_bytes) +
                                         " bytes, not " + std::to_string(bytes) + ".");
  }

  [[nodiscard]] Result<void> check_batch(std::span<const TokenRun> batch) const {
    std::size_t tokens = 0;
    for (const TokenRun& run : batch) {
      if (auto valid = check_run(run); !valid) return valid;
      tokens += run.tokens.size();
    }
    if (batch.size() > kMaxBatchRuns || tokens > kMaxBatchTokens) {
      return fail(ErrorKind::internal, "A batch of " + std::to_string(batch.size()) + " runs and " +
                                           std::to_string(tokens) +
                                           " tokens is larger than the runner takes.");
    }
    return {};
  }

  [[nodiscard]] Result<void> check_run(const TokenRun& run) const {
    const std::size_t end = static_cast<std::size_t>(std::max(run.position, 0)) + run.tokens.size();
    if (run.tokens.empty() || run.position < 0 || end > run.pages.size() * kPageTokens) {
      return fail(ErrorKind::internal, "A run has no tokens or fewer pages than tokens.");
    }
    for (const PageId page : run.pages) {
      if (auto valid = check_page(page); !valid) return valid;
    }
    for (const TokenId id : run.tokens) {
      if (id >= 0 && id < loaded_.config.vocab_size) continue;
      return fail(ErrorKind::invalid_input, "Token id " + std::to_string(id) +
                                                " is outside the model's vocabulary of " +
                                                std::to_string(loaded_.config.vocab_size) + ".");
    }
    return {};
  }

  const SteadyClock clock_;
  Loaded loaded_;
  Workers workers_;
  ForwardPass forward_;
  StepTiming timing_;
  RunnerInfo info_;
};

Result<const kernels::cpu::Kernels*> choose_kernels(const std::string& id) {
  if (const kernels::cpu::Kernels* kernels = kernels::cpu::find_kernels(id)) return kernels;
  std::string known;
  for (const kernels::cpu::Kernels* kernels : kernels::cpu::available_kernels()) {
    known += (known.empty() ? "" : ", ") + std::string(kernels->id);
  }
  return fail(ErrorKind::unsupported,
              "This processor has no instruction set \"" + id + "\"; choose one of " + known + ".");
}

}  // namespace

Result<std::unique_ptr<Runner>> make_cpu_runner(std::shared_ptr<const Checkpoint> checkpoint,
                                                const RunnerOptions& options,
                                                const Progress& progress, std::stop_token stop) {
  Loaded loaded;
  loaded.config = checkpoint->config();
  auto kernels = choose_kernels(options.cpu_isa);
  if (!kernels) return pass_on(std::move(kernels));
  loaded.kernels = *kernels;
  loaded.team =
      std::make_unique<ThreadTeam>(options.threads > 0 ? options.threads : available_processors());
  auto model = pack_model(loaded.config, checkpoint->weights(), options.precise, *loaded.team,
                          progress, stop);
  if (!model) return pass_on(std::move(model));
  loaded.model = std::move(*model);
  // Behind the weights, which take what they need: pages are committed when they are first used,
  // and a budget beyond what is left would be found out by the end of the process.
  const auto key_format = options.precise ? kernels::cpu::Format::f32 : kernels::cpu::Format::f16;
  const std::int64_t budget =
      std::max(affordable(options.kv_bytes), std::min(kLeastKvBytes, options.kv_bytes));
  auto pages = KvPages::allocate(loaded.config, budget, key_format);
  if (!pages) return pass_on(std::move(pages));
  loaded.pages = std::move(*pages);
  loaded.weight_format = describe_format(loaded.config, checkpoint->weights());
  const int vocab = loaded.config.vocab_size;
  loaded.real_vocab = options.real_vocab > 0 ? std::min<int>(options.real_vocab, vocab) : vocab;
  return std::make_unique<CpuRunner>(std::move(loaded));
}

}  // namespace caretd::engine
