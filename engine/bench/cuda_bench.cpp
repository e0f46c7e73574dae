#include "engine/bench/cuda_bench.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "engine/bench/seconds.h"

namespace caretd::engine {
namespace {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

class CudaBench {
 public:
  CudaBench(CudaRunner& runner, const CudaBenchPlan& plan, const ModelConfig& config,
            const Clock& clock)
      : runner_(runner), plan_(plan), config_(config), clock_(clock) {}

  Result<CudaBenchReport> run() {
    auto bandwidth = runner_.measure_read_bandwidth(std::int64_t{4'900'000'000});
    if (!bandwidth) return pass_on(std::move(bandwidth));
    report_.read_bandwidth = *bandwidth;
    report_.kv_bytes_per_token =
        static_cast<double>(runner_.info().page_bytes) / static_cast<double>(kPageTokens);
    auto done = fill_pages();
    for (std::size_t i = 0; done && i < plan_.contexts.size(); ++i) {
      done = measure("decode", plan_.contexts[i], 1, 1);
    }
    for (std::size_t i = 0; done && i < plan_.appends.size(); ++i) {
      done = measure("append", plan_.append_context, plan_.appends[i], 1);
    }
    for (std::size_t i = 0; done && i < plan_.batches.size(); ++i) {
      done = measure("batch", plan_.append_context, 1, plan_.batches[i]);
    }
    for (std::size_t i = 0; done && i < plan_.prefills.size(); ++i) {
      done = measure("prefill", 0, plan_.prefills[i], 1);
    }
    if (done && plan_.profile) done = measure_profile();
    if (!done) return pass_on(std::move(done));
    return report_;
  }

 private:
  /// Random finite BF16 in every page that the figures use.
  Result<void> fill_pages() {
    std::vector<std::byte> page(static_cast<std::size_t>(runner_.info().page_bytes));
    std::mt19937 random(7);
    auto* values = reinterpret_cast<std::uint16_t*>(page.data());
    for (std::size_t i = 0; i < page.size() / 2; ++i) {
      // Sign and mantissa at random, exponent of 0.25 to 1.
      const auto bits = static_cast<std::uint32_t>(random());
      values[i] = static_cast<std::uint16_t>((bits & 0x80FFU) | 0x3E80U);
    }
    for (PageId id = 0; id < std::min(runner_.info().pages, 2048); ++id) {
      if (auto ok = runner_.write_page(id, page); !ok) return ok;
    }
    return {};
  }

  [[nodiscard]] bool fits(int context, int tokens, int sequences) const {
    const int pages = (context + tokens + kPageTokens - 1) / kPageTokens;
    return context + tokens <= config_.context_tokens && pages * sequences <= runner_.info().pages;
  }

  /// `sequences` runs of `tokens` random tokens behind `context` cached ones.
  void make_batch(int context, int tokens, int sequences) {
    const int pages = (context + tokens + kPageTokens - 1) / kPageTokens;
    const auto count = static_cast<std::size_t>(tokens);
    tokens_.resize(count * static_cast<std::size_t>(sequences));
    std::uniform_int_distribution<int> any(0, config_.vocab_size - 1);
    for (TokenId& id : tokens_) id = any(random_);
    pages_.resize(static_cast<std::size_t>(pages * sequences));
    std::iota(pages_.begin(), pages_.end(), 0);
    runs_.clear();
    for (int s = 0; s < sequences; ++s) {
      const auto index = static_cast<std::size_t>(s);
      runs_.push_back({.tokens = std::span(tokens_).subspan(index * count, count),
                       .position = context,
                       .pages = std::span(pages_).subspan(index * static_cast<std::size_t>(pages),
                                                          static_cast<std::size_t>(pages))});
    }
  }

  Result<void> measure(const char* name, int context, int tokens, int sequences) {
    if (!fits(context, tokens, sequences)) return {};
    const int all = tokens * sequences;
    CudaFigure figure{.name = name, .context = context, .tokens = all};
    std::vector<double> wall;
    std::vector<double> device;
    std::vector<double> host;
    double distinct = 0;
    const int repeats = all > 256 ? std::min(plan_.repeats, 5) : plan_.repeats;
    // One in two is timed on the device, too, and is longer for it; the first two warm up.
    for (int i = -2; i < 2 * repeats; ++i) {
      const bool timed = i % 2 != 0;
      runner_.enable_timing(timed);
      runner_.force_routing(all > 1 && plan_.forced_routing != 0
                                ? plan_.forced_routing + static_cast<std::uint32_t>((i + 2) / 2)
                                : 0);
      make_batch(context, tokens, sequences);
      const TimePoint start = clock_.now();
      auto rows = runner_.forward(runs_);
      const double took = seconds(clock_.now() - start);
      if (!rows) return pass_on(std::move(rows));
      if (i < 0) continue;
      const CudaStepStatistics& statistics = runner_.statistics();
      if (timed) {
        device.push_back(statistics.device_seconds);
        continue;
      }
      wall.push_back(took);
      host.push_back(statistics.host_seconds);
      figure.bytes += (statistics.weight_bytes + statistics.kv_bytes) / repeats;
      distinct += static_cast<double>(statistics.distinct_experts) / repeats;
    }
    runner_.force_routing(0);
    figure.seconds = median(wall);
    figure.device_seconds = median(device);
    figure.host_seconds = median(host);
    figure.distinct_experts = distinct / std::max(1, moe_layers());
    if (plan_.on_figure) plan_.on_figure(figure);
    report_.figures.push_back(std::move(figure));
    return {};
  }

  Result<void> measure_profile() {
    if (!fits(plan_.append_context, 1, 1)) return {};
    runner_.enable_timing(true);
    runner_.enable_profile(true);
    for (int i = 0; i < 3; ++i) {
      make_batch(plan_.append_context, 1, 1);
      if (auto rows = runner_.forward(runs_); !rows) return pass_on(std::move(rows));
    }
    report_.profile = runner_.profile();
    report_.profiled_seconds = runner_.statistics().device_seconds;
    runner_.enable_profile(false);
    runner_.enable_timing(false);
    return {};
  }

  [[nodiscard]] int moe_layers() const {
    int count = 0;
    for (int layer = 0; layer < config_.layers; ++layer)
      count += config_.is_moe_layer(layer) ? 1 : 0;
    return count;
  }

  CudaRunner& runner_;
  const CudaBenchPlan& plan_;
  const ModelConfig& config_;
  const Clock& clock_;
  CudaBenchReport report_;
  std::mt19937 random_{42};
  std::vector<TokenId> tokens_;
  std::vector<PageId> pages_;
  std::vector<TokenRun> runs_;
};

}  // namespace

Result<CudaBenchReport> run_cuda_bench(CudaRunner& runner, const CudaBenchPlan& plan,
                                       const ModelConfig& config, const Clock& clock) {
  return CudaBench(runner, plan, config, clock).run();
}

}  // namespace caretd::engine
