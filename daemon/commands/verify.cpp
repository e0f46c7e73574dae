// `caretd verify`: does this machine compute what an independent implementation computed?
#include "engine/verify/verify.h"

#include <algorithm>
#include <iostream>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/model_loading.h"
#include "daemon/progress.h"
#include "engine/verify/golden_file.h"

namespace caretd::daemon {

namespace {

struct VerifyOptions {
  std::string golden;
  bool fast = false;
  unsigned seed = 1;
};

void print_case(const engine::CaseReport& report) {
  std::cout << fmt::format(
      "{:<24} {:>5} tokens  nll max {:.1e} mean {:.1e}  top {}  greedy {:>2}/{:<2}  paths {:.1e}  "
      "{}\n",
      report.name, report.tokens, report.max_nll, report.mean_nll,
      report.top_in_order ? "in order" : "MIXED UP", report.greedy_equal, report.greedy_compared,
      report.path,
      report.misses.empty() ? "ok" : fmt::format("{}", fmt::join(report.misses, "; ")));
}

class Summary {
 public:
  void add(const engine::CaseReport& report) {
    ++cases_;
    missed_ += report.misses.empty() ? 0 : 1;
    max_nll_ = std::max(max_nll_, report.max_nll);
    mean_nll_ = std::max(mean_nll_, report.mean_nll);
    path_ = std::max(path_, report.path);
  }
  [[nodiscard]] bool all_hold() const { return missed_ == 0; }
  void print(const std::string& device, bool fast) const {
    std::cout << fmt::format(
        "worst of {} cases on {}, {}: nll max {:.1e}, mean {:.1e}, paths {:.1e}; {}\n", cases_,
        device, fast ? "fast path" : "float32", max_nll_, mean_nll_, path_,
        all_hold() ? "all hold" : fmt::format("{} missed", missed_));
  }

 private:
  int cases_ = 0;
  int missed_ = 0;
  double max_nll_ = 0;
  double mean_nll_ = 0;
  double path_ = 0;
};

int verify(const CommandContext& context, const VerifyOptions& options) {
  const auto golden = engine::read_golden_file(options.golden);
  if (!golden) return report_error(golden.error());
  ModelSettings settings = context.settings().model;
  settings.precise = !options.fast;
  const SteadyClock clock;
  ProgressReporter progress("loading the model", clock, stderr_is_terminal());
  auto model = load_model(settings, context.install, context.log,
                          [&](double fraction) { progress.update(fraction); }, {});
  if (!model) return report_error(model.error());
  const auto bounds = options.fast ? engine::fast_bounds() : engine::precise_bounds();
  Summary summary;
  for (const engine::GoldenCase& item : golden->cases) {
    const auto report =
        engine::verify_case(*model->runner, *model->tokenizer, item, bounds, options.seed);
    if (!report) return report_error(report.error());
    print_case(*report);
    summary.add(*report);
  }
  summary.print(model->runner->info().device, options.fast);
  return summary.all_hold() ? kSuccess : kFailure;
}

}  // namespace

void add_verify_command(CommandLine& line) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App& command =
      line.add("verify", "Compare a model on this machine with golden cases computed elsewhere",
               "caretd verify models/tiny/golden.json\n"
               "caretd verify --model /srv/models/DeepSeek-Coder-V2-Lite-Base vectors.json\n"
               "caretd verify --fast models/tiny/golden.json",
               [options](CommandContext& context) { return verify(context, *options); });
  command.add_option("golden", options->golden, "File of golden cases (docs/models.md)")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_flag("--fast", options->fast,
                   "Verify the default path, which may round, against its own bounds");
  command.add_option("--seed", options->seed, "Picks the random pieces of the prompts")
      ->capture_default_str();
}

}  // namespace caretd::daemon
