// `caretd bench`: prompt and decode speed of a model on this machine.

#include "engine/bench/bench.h"

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/model_loading.h"
#include "daemon/engines/random_model.h"
#include "daemon/progress.h"
#include "engine/bench/cuda_bench.h"
#include "engine/bench/cuda_bench_report.h"
#include "engine/bench/memory_bandwidth.h"

namespace caretd::daemon {

namespace {

constexpr auto kBandwidthTime = std::chrono::seconds(1);
constexpr std::int64_t kRandomKvBytes = std::int64_t{2} << 30;  // 32K tokens of Lite and more

struct BenchOptions {
  int repeats = 5;
  std::string isa;  ///< RunnerOptions::cpu_isa
  bool json = false;
  std::string random;    ///< lite-bf16, lite-fp8, ...; empty: the configured model
  bool profile = false;  ///< with `random`: where a decoded token's time goes
};

struct Figures {
  engine::RunnerInfo runner;
  engine::BenchPlan plan;
  engine::BenchReport speed;
  double load_ms = 0;
  double bandwidth = 0;  ///< bytes/s that the CPU reads; 0 where the model is not on the CPU
};

void print(const Figures& figures) {
  const auto& [runner, plan, speed, load_ms, bandwidth] = figures;
  std::cout << fmt::format("{}, {}, {:.1f} MB of weights, loaded in {:.0f} ms\n", runner.device,
                           runner.weight_format, static_cast<double>(runner.weight_bytes) / 1e6,
                           load_ms);
  std::cout << fmt::format("prompt of {} tokens: {:.0f} tok/s\n", plan.prompt_tokens,
                           speed.prompt_tokens_per_second);
  for (const engine::DecodeSpeed& decode : speed.decode) {
    std::cout << fmt::format("decode at context {}: {:.0f} tok/s, {:.1f} MB a token, {:.1f} GB/s",
                             decode.context, decode.tokens_per_second,
                             static_cast<double>(decode.bytes_per_token) / 1e6,
                             decode.bytes_per_second() / 1e9);
    if (bandwidth > 0) {
      std::cout << fmt::format(" ({:.0f} % of memory)",
                               100 * decode.bytes_per_second() / bandwidth);
    }
    std::cout << '\n';
  }
  if (speed.keystroke > Duration::zero()) {
    std::cout << fmt::format("{} tokens appended to {} and {} decoded: {:.1f} ms\n",
                             plan.appended_tokens, plan.cached_tokens, plan.answered_tokens,
                             to_milliseconds(speed.keystroke));
  }
  if (speed.together_tokens_per_second > 0) {
    std::cout << fmt::format("{} sequences together at context {}: {:.0f} tok/s\n", plan.sequences,
                             plan.sequence_context, speed.together_tokens_per_second);
  }
  if (bandwidth > 0)
    std::cout << fmt::format("memory read bandwidth: {:.1f} GB/s\n", bandwidth / 1e9);
}

void print_json(const Figures& figures) {
  nlohmann::json value{
      {"device", figures.runner.device},
      {"weightFormat", figures.runner.weight_format},
      {"weightBytes", figures.runner.weight_bytes},
      {"loadMs", figures.load_ms},
      {"promptTokens", figures.plan.prompt_tokens},
      {"promptTokensPerSecond", figures.speed.prompt_tokens_per_second},
      {"keystrokeMs", to_milliseconds(figures.speed.keystroke)},
      {"togetherTokensPerSecond", figures.speed.together_tokens_per_second},
      {"memoryBytesPerSecond", figures.bandwidth},
  };
  for (const engine::DecodeSpeed& decode : figures.speed.decode) {
    value["decode"].push_back({{"context", decode.context},
                               {"tokensPerSecond", decode.tokens_per_second},
                               {"bytesPerToken", decode.bytes_per_token}});
  }
  std::cout << value.dump(2) << '\n';
}

/// True shapes with random weights made on the GPU.
int bench_random(const CommandContext& context, const BenchOptions& options) {
  const ModelSettings settings = context.settings().model;
  const auto model = random_model(options.random);
  if (!model) return report_error(model.error());
  engine::RunnerOptions runner_options;
  runner_options.kv_bytes = std::max(settings.kv_mebibytes << 20, kRandomKvBytes);
  runner_options.devices.assign(settings.gpus.begin(), settings.gpus.end());
  auto runner =
      engine::make_random_cuda_runner(*model, runner_options, context.install.cuda_module());
  if (!runner) return report_error(runner.error());
  engine::CudaBenchPlan plan;
  plan.profile = options.profile;
  const auto report = engine::run_cuda_bench(**runner, plan, model->config, SteadyClock());
  if (!report) return report_error(report.error());
  const engine::RunnerInfo& info = (*runner)->info();
  std::cout << (options.json ? engine::cuda_bench_json(*report, info) + "\n"
                             : engine::cuda_bench_table(*report, info));
  return kSuccess;
}

int bench(const CommandContext& context, const BenchOptions& options) {
  if (!options.random.empty()) return bench_random(context, options);
  ModelSettings settings = context.settings().model;
  settings.cpu_isa = options.isa;
  const SteadyClock clock;
  const TimePoint begin = clock.now();
  Result<engine::LoadedModel> model = [&] {
    ProgressReporter progress("loading the model", clock, stderr_is_terminal());
    return load_model(settings, context.install, context.log,
                      [&](double fraction) { progress.update(fraction); }, {});
  }();
  if (!model) return report_error(model.error());
  Figures figures;
  figures.load_ms = to_milliseconds(clock.now() - begin);
  figures.runner = model->runner->info();
  figures.plan.repeats = options.repeats;
  auto speed = engine::run_bench(*model->runner, figures.plan, model->tokenizer->size(), clock);
  if (!speed) return report_error(speed.error());
  figures.speed = *std::move(speed);
  if (figures.runner.device.starts_with("CPU")) {
    const auto bandwidth =
        engine::measure_read_bandwidth(static_cast<int>(settings.threads), kBandwidthTime, clock);
    if (!bandwidth) return report_error(bandwidth.error());
    figures.bandwidth = *bandwidth;
  }
  options.json ? print_json(figures) : print(figures);
  return kSuccess;
}

}  // namespace

void add_bench_command(CommandLine& line) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App& command =
      line.add("bench", "Measure prompt and decode speed of a model on this machine",
               "caretd bench\n"
               "caretd bench --device cpu --threads 2 --json\n"
               "caretd bench --isa avx2\n"
               "caretd bench --model /srv/models/DeepSeek-Coder-V2-Lite-Base\n"
               "caretd bench --random lite-fp8 --profile",
               [options](CommandContext& context) { return bench(context, *options); });
  command.add_option("--repeats", options->repeats, "Runs of each measurement; the best counts")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      .add_option("--isa", options->isa,
                  "Instruction set of the CPU runner instead of the widest one of this machine")
      ->check(CLI::IsMember({"avx512", "avx2", "portable"}));
  command.add_flag("--json", options->json, "Print the figures as JSON");
  auto* random = command.add_option(
      "--random", options->random,
      "A shape with random weights made on the GPU instead of a model: lite-bf16, lite-fp8, tiny");
  command
      .add_flag("--profile", options->profile,
                "With --random: the operations of a decoded token, which add up to the step")
      ->needs(random);
}

}  // namespace caretd::daemon
