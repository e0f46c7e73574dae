// `caretd bench`: prompt and decode speed of a model on this machine.
#include "daemon/bench.h"

#include <iostream>
#include <memory>
#include <thread>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/loaded_engine.h"
#include "daemon/progress.h"
#include "daemon/wiring.h"

namespace caretd::daemon {

namespace {

struct BenchOptions {
  int repeats = 3;
  bool json = false;
};

struct Figures {
  engine::RunnerInfo runner;
  BenchResult speed;
  double load_ms = 0;
  double bandwidth = 0;  ///< bytes/s that the CPU reads; 0 where the model is not on the CPU
};

/// Bytes a second that decoding reads from the weights.
double weight_traffic(const Figures& figures, const DecodePoint& point) {
  return static_cast<double>(figures.runner.weight_bytes_per_token) * point.tokens_per_second;
}

void print(const Figures& figures) {
  const auto& speed = figures.speed;
  std::cout << fmt::format("{}, {}, {:.1f} MB of weights, loaded in {:.0f} ms\n",
                           figures.runner.device, figures.runner.weight_format,
                           static_cast<double>(figures.runner.weight_bytes) / 1e6, figures.load_ms);
  std::cout << fmt::format("prompt of {} tokens      {:8.0f} tok/s\n", speed.prompt_tokens,
                           speed.prompt_tokens_per_second);
  for (const DecodePoint& point : speed.decode) {
    std::cout << fmt::format("decode at context {:<5}   {:8.0f} tok/s  {:6.1f} GB/s of weights\n",
                             point.context, point.tokens_per_second,
                             weight_traffic(figures, point) / 1e9);
  }
  if (speed.append_context > 0) {
    std::cout << fmt::format("3 tokens onto {} and 8 decoded {:.1f} ms\n", speed.append_context,
                             to_milliseconds(speed.append_and_decode));
  }
  std::cout << fmt::format("weights read per token     {:8.2f} MB\n",
                           static_cast<double>(figures.runner.weight_bytes_per_token) / 1e6);
  if (figures.bandwidth > 0) {
    std::cout << fmt::format(
        "memory read bandwidth      {:8.1f} GB/s ({:.0f} tok/s if every "
        "weight came from memory)\n",
        figures.bandwidth / 1e9,
        figures.bandwidth / static_cast<double>(figures.runner.weight_bytes_per_token));
  }
}

void print_json(const Figures& figures) {
  nlohmann::json value{
      {"device", figures.runner.device},
      {"weightFormat", figures.runner.weight_format},
      {"weightBytes", figures.runner.weight_bytes},
      {"weightBytesPerToken", figures.runner.weight_bytes_per_token},
      {"loadMs", figures.load_ms},
      {"promptTokens", figures.speed.prompt_tokens},
      {"promptTokensPerSecond", figures.speed.prompt_tokens_per_second},
      {"appendThreeDecodeEightMs", to_milliseconds(figures.speed.append_and_decode)},
      {"memoryBytesPerSecond", figures.bandwidth},
  };
  for (const DecodePoint& point : figures.speed.decode) {
    value["decode"].push_back(
        {{"context", point.context}, {"tokensPerSecond", point.tokens_per_second}});
  }
  std::cout << value.dump(2) << '\n';
}

int bench(const CommandContext& context, const BenchOptions& options) {
  const ModelSettings settings = context.settings().model;
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
  auto speed = bench_runner(*model->runner, model->tokenizer->size(), model->config.context_tokens,
                            options.repeats, clock);
  if (!speed) return report_error(speed.error());
  figures.speed = *std::move(speed);
  if (figures.runner.device.starts_with("CPU")) {
    const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    figures.bandwidth = measure_read_bandwidth(
        settings.threads > 0 ? static_cast<int>(settings.threads) : cores, clock);
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
               "caretd bench --model /srv/models/DeepSeek-Coder-V2-Lite-Base",
               [options](CommandContext& context) { return bench(context, *options); });
  command.add_option("--repeats", options->repeats, "Runs of each measurement; the best counts")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command.add_flag("--json", options->json, "Print the figures as JSON");
}

}  // namespace caretd::daemon
