// `caretd eval infilling`: exact match and right-prefix share for plain, healed and anchored
// prompts.
#include <algorithm>
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/loaded_engine.h"
#include "daemon/eval/infilling.h"
#include "daemon/file_completion.h"
#include "daemon/progress.h"

namespace caretd::daemon {

namespace {

struct EvalOptions {
  std::vector<std::string> files;
  std::size_t limit = 0;
  std::size_t holes = 20;
  std::uint64_t seed = 1;
  InfillingOptions infilling;
  bool json = false;
};

bool holds_cases(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  return name.ends_with(".jsonl") || name.ends_with(".jsonl.gz");
}

Result<std::vector<InfillingCase>> cases_of(const std::filesystem::path& file,
                                            const EvalOptions& options) {
  if (holds_cases(file)) return read_infilling_file(file);
  const auto document = read_document(file);
  if (!document) return fail(document.error().kind, document.error().message);
  return random_holes(file.filename().string(), (*document)->text.view(), options.holes,
                      options.seed);
}

/// Every n-th case, so that a limited run sees all of the file.
void thin_out(std::vector<InfillingCase>& cases, std::size_t limit) {
  if (limit == 0 || cases.size() <= limit) return;
  std::vector<InfillingCase> kept;
  for (std::size_t i = 0; i < limit; ++i) kept.push_back(cases[i * cases.size() / limit]);
  cases = std::move(kept);
}

Result<std::vector<InfillingCase>> all_cases(const EvalOptions& options) {
  std::vector<InfillingCase> cases;
  for (const std::string& file : options.files) {
    auto more = cases_of(file, options);
    if (!more) return more;
    std::ranges::move(*more, std::back_inserter(cases));
  }
  thin_out(cases, options.limit);
  if (cases.empty())
    return fail(ErrorKind::invalid_input, "the files hold no line to make a hole in");
  return cases;
}

std::string shares(const Score& score) {
  return fmt::format("{:5.1f} % exact ({}/{}), {:5.1f} % right prefix", 100 * score.exact_share(),
                     score.exact, score.cases, 100 * score.right_prefix_share());
}

void print(const std::vector<FormReport>& reports) {
  for (const FormReport& report : reports) {
    std::cout << fmt::format("{:<9} {}\n", to_string(report.form), shares(report.all));
    if (report.by_place.size() < 2) continue;
    for (const auto& [place, score] : report.by_place) {
      std::cout << fmt::format("  {:<16} {}\n", to_string(place), shares(score));
    }
  }
}

nlohmann::json to_json(const Score& score) {
  return {{"cases", score.cases},
          {"exact", score.exact},
          {"exactShare", score.exact_share()},
          {"rightPrefixShare", score.right_prefix_share()}};
}

void print_json(const std::vector<FormReport>& reports, const engine::ModelInfo& model) {
  nlohmann::json value{{"model", model.name}, {"device", model.device}};
  for (const FormReport& report : reports) {
    nlohmann::json entry = to_json(report.all);
    entry["prompt"] = to_string(report.form);
    for (const auto& [place, score] : report.by_place) {
      entry["byPlace"][std::string(to_string(place))] = to_json(score);
    }
    value["prompts"].push_back(std::move(entry));
  }
  std::cout << value.dump(2) << '\n';
}

int eval_infilling(const CommandContext& context, const EvalOptions& options) {
  const auto cases = all_cases(options);
  if (!cases) return report_error(cases.error());
  const Settings settings = context.settings();
  const SteadyClock clock;
  const auto engine = load_engine(context, settings, clock);
  if (!engine) return report_error(engine.error());
  InfillingOptions infilling = options.infilling;
  const auto model = (*engine)->model();
  infilling.prompt_tokens = std::min(static_cast<int>(settings.completion.prompt_tokens),
                                     model->context_tokens - infilling.max_tokens);
  const auto reports = [&] {
    ProgressReporter progress("filling holes", clock, stderr_is_terminal());
    return run_infilling(**engine, *cases, infilling,
                         [&](double share) { progress.update(share); });
  }();
  if (!reports) return report_error(reports.error());
  options.json ? print_json(*reports, *model) : print(*reports);
  return kSuccess;
}

}  // namespace

void add_eval_command(CommandLine& line) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App& group = line.add_group("eval", "Measure the quality of a model's completions",
                                   "caretd eval infilling src/*.py");
  CLI::App& command =
      line.add(group, "infilling", "Exact match and right-prefix share of filled holes, greedy",
               "caretd eval infilling HumanEval-SingleLineInfilling.jsonl.gz\n"
               "caretd eval infilling --holes 40 --seed 7 src/*.py\n"
               "caretd eval infilling --json --limit 100 HumanEval-MultiLineInfilling.jsonl.gz",
               [options](CommandContext& context) { return eval_infilling(context, *options); });
  command
      .add_option("files", options->files,
                  "Cases (.jsonl, .jsonl.gz: task_id, prompt, suffix, canonical_solution), or "
                  "source files, which get random holes")
      ->required();
  command
      .add_option("--limit", options->limit,
                  "Evaluate so many cases, spread over all; 0: every one")
      ->capture_default_str();
  command.add_option("--holes", options->holes, "Holes in each source file")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_option("--seed", options->seed, "Of the random holes")->capture_default_str();
  command.add_option("--max-tokens", options->infilling.max_tokens, "Longest output of one case")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_flag("--json", options->json, "Print the figures as JSON");
}

}  // namespace caretd::daemon
