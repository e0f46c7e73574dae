// `caretd replay`: what a model's suggestions would have been worth to somebody who types.
#include "daemon/replay/replay.h"

#include <csignal>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"
#include "daemon/engines/loaded_engine.h"
#include "daemon/engines/random_model.h"
#include "daemon/file_completion.h"
#include "daemon/progress.h"
#include "daemon/replay/exactness.h"
#include "daemon/replay/report.h"
#include "daemon/replay/source_files.h"
#include "daemon/session_settings.h"

namespace caretd::daemon {

namespace {

constexpr double kTieInFloat32 = 1e-3;
constexpr double kTieOnFastPath = 0.1;

struct ReplayCommandOptions {
  std::vector<std::string> files;
  std::string session;
  replay::TypingOptions typing{.characters = 400};
  std::string language;  ///< of the standard files; empty: all
  bool settled = false;
  std::string accept = "both";
  int reaction_ms = 250;
  std::optional<double> gate;
  std::vector<double> gates;
  bool no_stops = false;
  int fixed_tokens = 0;
  bool exact = false;
  std::string random;
  std::string tokenizer;
  bool json = false;
};

/// One pass over the files.
struct Pass {
  std::string name;
  std::optional<double> gate;  ///< nothing: the configured one
  bool stops = true;
};

std::vector<Pass> passes_of(const ReplayCommandOptions& options) {
  if (options.gates.empty()) {
    std::string name = options.gate ? fmt::format("gate {:g}", *options.gate) : "configured gate";
    if (options.fixed_tokens > 0) {
      name = fmt::format("gate and stops off, {} tokens", options.fixed_tokens);
    } else if (options.no_stops) {
      name += ", stops off";
    }
    return {{name, options.gate, !options.no_stops}};
  }
  std::vector<Pass> passes = {{"gate and stops off", 0.0, false}};
  for (const double gate : options.gates) {
    passes.push_back({fmt::format("gate {:g}", gate), gate, !options.no_stops});
  }
  return passes;
}

Result<std::vector<replay::TypedFile>> read_session(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ErrorKind::not_found, path + " cannot be opened");
  auto files = replay::parse_session(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!files) return pass_on(std::move(files), path);
  return files;
}

Result<std::vector<replay::TypedFile>> plan_standard_files(const ReplayCommandOptions& options,
                                                           const Environment& environment) {
  std::vector<replay::SourceFile> wanted;
  for (const replay::SourceFile& file : replay::standard_files()) {
    if (options.language.empty() || options.language == file.language) wanted.push_back(file);
  }
  if (wanted.empty()) {
    return fail(ErrorKind::invalid_input,
                "none of the standard files is in the language " + options.language);
  }
  const auto fetched =
      replay::fetch(wanted, replay::fetched_files_folder(environment), replay::run_program);
  if (!fetched) return fail(fetched.error().kind, fetched.error().message);
  std::vector<replay::TypedFile> files;
  for (const replay::FetchedFile& file : *fetched) {
    files.push_back(replay::plan_typing(file.name, file.language, file.text, options.typing));
  }
  return files;
}

Result<std::vector<replay::TypedFile>> plan(const ReplayCommandOptions& options,
                                            const Environment& environment) {
  if (!options.session.empty()) return read_session(options.session);
  if (options.files.empty()) return plan_standard_files(options, environment);
  std::vector<replay::TypedFile> files;
  for (const std::string& path : options.files) {
    const auto document = read_document(path);
    if (!document) return fail(document.error().kind, document.error().message);
    files.push_back(replay::plan_typing(std::filesystem::path(path).filename().string(),
                                        (*document)->language_id, (*document)->text.view(),
                                        options.typing));
  }
  return files;
}

Result<std::unique_ptr<engine::Engine>> load(const CommandContext& context,
                                             const Settings& settings,
                                             const ReplayCommandOptions& options,
                                             const Clock& clock) {
  if (options.random.empty()) return load_engine(context, settings, clock);
  const auto model = random_model(options.random);
  if (!model) return fail(model.error().kind, model.error().message);
  auto loader = random_model_loader(*model, options.tokenizer, settings.model, context.install);
  return wait_until_ready(engine::make_local_engine(std::move(loader), {}, clock, context.log),
                          clock);
}

replay::ReplayOptions replay_options(const Settings& settings, const ReplayCommandOptions& options,
                                     const Pass& pass) {
  replay::ReplayOptions result;
  result.settings = to_session_settings(settings);
  if (pass.gate) result.settings.gate = {.automatic = *pass.gate, .per_language = {}};
  result.stops = pass.stops;
  result.fixed_tokens = options.fixed_tokens;
  result.pace = options.settled ? replay::Pace::settled : replay::Pace::real;
  result.rule.full = options.accept == "both" || options.accept == "full";
  result.rule.words = options.accept == "both" || options.accept == "words";
  result.rule.reaction = std::chrono::milliseconds(options.reaction_ms);
  result.keep_generations = options.exact;
  return result;
}

/// What all passes share.
struct Setting {
  const CommandContext& context;
  const ReplayCommandOptions& options;
  const Settings& settings;
  const std::vector<replay::TypedFile>& files;
  const Clock& clock;
};

Result<replay::RunReport> run_pass(const Setting& setting, const Pass& pass,
                                   std::unique_ptr<engine::Engine>& engine) {
  const replay::ReplayOptions run = replay_options(setting.settings, setting.options, pass);
  replay::ReplayResult typed;
  {
    ProgressReporter progress("typing, " + pass.name, setting.clock, stderr_is_terminal());
    typed = replay::replay(*engine, setting.files, run, setting.clock, setting.context.log,
                           [&](double share) { progress.update(share); });
  }
  replay::RunReport report = replay::report_of(typed.files);
  report.name = pass.name;
  report.gate = run.fixed_tokens > 0 ? 0 : run.settings.gate.automatic;
  report.stops = run.stops && run.fixed_tokens == 0;
  if (!setting.options.exact) return report;
  // A fresh engine, not the emptied cache of this one; two at once may be more than fits.
  engine.reset();
  auto fresh = load(setting.context, setting.settings, setting.options, setting.clock);
  if (!fresh) return pass_on(std::move(fresh));
  engine = *std::move(fresh);
  ProgressReporter progress("asking a fresh engine", setting.clock, stderr_is_terminal());
  const double tolerance = setting.settings.model.precise ? kTieInFloat32 : kTieOnFastPath;
  auto exactness = replay::check_exactness(*engine, typed.generations, tolerance,
                                           [&](double share) { progress.update(share); });
  if (!exactness) return pass_on(std::move(exactness));
  report.exactness = *std::move(exactness);
  return report;
}

std::string pace_text(const ReplayCommandOptions& options) {
  if (options.settled) return "each key when the server is at rest";
  return fmt::format("in real time at {:g} words a minute", options.typing.words_per_minute);
}

void print(const std::vector<replay::RunReport>& runs, const engine::ModelInfo& model,
           const Setting& setting) {
  std::cout << fmt::format("{} on {}; {} files, seed {}, {}\n", model.name, model.device,
                           setting.files.size(), setting.options.typing.seed,
                           pace_text(setting.options));
  for (const replay::RunReport& run : runs) std::cout << '\n' << replay::to_text(run);
  std::cout << '\n' << replay::comparison(runs);
}

void print_json(const std::vector<replay::RunReport>& runs, const engine::ModelInfo& model,
                const Setting& setting) {
  const ReplayCommandOptions& options = setting.options;
  nlohmann::json value{{"model", model.name},
                       {"device", model.device},
                       {"pace", options.settled ? "settled" : "real"},
                       {"wordsPerMinute", options.typing.words_per_minute},
                       {"seed", options.typing.seed},
                       {"accept", options.accept},
                       {"reactionMs", options.reaction_ms}};
  for (const replay::TypedFile& file : setting.files) value["files"].push_back(file.name);
  for (const replay::RunReport& run : runs) value["runs"].push_back(replay::to_json(run));
  std::cout << value.dump(2) << '\n';
}

bool all_exact(const std::vector<replay::RunReport>& runs) {
  return std::ranges::none_of(runs, [](const replay::RunReport& run) {
    return run.exactness && run.exactness->different > 0;
  });
}

int run_replay(const CommandContext& context, const ReplayCommandOptions& options) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto files = plan(options, context.environment);
  if (!files) return report_error(files.error());
  const Settings settings = context.settings();
  const SteadyClock clock;
  auto engine = load(context, settings, options, clock);
  if (!engine) return report_error(engine.error());
  const Setting setting{context, options, settings, *files, clock};
  std::vector<replay::RunReport> runs;
  for (const Pass& pass : passes_of(options)) {
    auto run = run_pass(setting, pass, *engine);
    if (!run) return report_error(run.error());
    runs.push_back(*std::move(run));
  }
  const auto model = (*engine)->model();
  options.json ? print_json(runs, *model, setting) : print(runs, *model, setting);
  return all_exact(runs) ? kSuccess : kFailure;
}

void add_typing_options(CLI::App& command, ReplayCommandOptions& options) {
  command
      .add_option("--wpm", options.typing.words_per_minute,
                  "Words of five keys a minute, pauses not counted")
      ->check(CLI::Range(1.0, 10000.0))
      ->capture_default_str();
  command.add_option("--seed", options.typing.seed, "Of pauses, slips, places")
      ->capture_default_str();
  command
      .add_option("--limit", options.typing.characters,
                  "Characters to type in each file, at least; 0: all lines but the first")
      ->capture_default_str();
  command.add_option("--slips", options.typing.slips, "Share of letters mistyped first")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str();
  command.add_flag("--settled", options.settled,
                   "Press each key when the server is at rest instead of when a typist would: the "
                   "counts are the same every time, the times are those without work in parallel");
  command
      .add_option("--accept", options.accept,
                  "Take suggestions that are right: as a whole, word by word, both, none")
      ->check(CLI::IsMember({"full", "words", "both", "none"}))
      ->capture_default_str();
  command
      .add_option("--reaction", options.reaction_ms,
                  "Milliseconds that a suggestion stands on the screen before it is taken")
      ->check(CLI::Range(0, 60000))
      ->capture_default_str();
}

void add_server_options(CLI::App& command, ReplayCommandOptions& options) {
  command.add_option("--gate", options.gate, "Probability gate instead of the configured one")
      ->check(CLI::Range(0.0, 1.0));
  command
      .add_option("--gates", options.gates,
                  "Compare these gates with gate and stops off: 0,0.3,0.5,0.7,0.9")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0))
      ->excludes("--gate");
  command.add_flag("--no-stops", options.no_stops, "End suggestions at the token budget alone");
  command
      .add_option("--fixed-tokens", options.fixed_tokens,
                  "Gate and stops off, exactly so many tokens for every request")
      ->check(CLI::Range(1, 4096));
  command.add_flag("--exact", options.exact,
                   "Ask a fresh engine every prompt as a whole and compare the tokens; set "
                   "model.precise for float32");
  auto* tokenizer = command
                        .add_option("--tokenizer", options.tokenizer,
                                    "Folder with the tokenizer.json for --random")
                        ->check(CLI::ExistingDirectory);
  command
      .add_option("--random", options.random,
                  "A shape with random weights made on the GPU instead of a model: lite-bf16")
      ->needs(tokenizer);
}

}  // namespace

void add_replay_command(CommandLine& line) {
  auto options = std::make_shared<ReplayCommandOptions>();
  CLI::App& command = line.add(
      "replay", "Type source files through the language server and measure its suggestions",
      "caretd replay\n"
      "caretd replay --settled --gates 0,0.3,0.5,0.7,0.9 --json\n"
      "caretd replay --settled --exact --set model.precise=true --limit 100\n"
      "caretd replay --wpm 60 --limit 2000 src/main.py\n"
      "caretd replay --fixed-tokens 8 --random lite-bf16 --tokenizer "
      "~/models/DeepSeek-Coder-V2-Lite",
      [options](CommandContext& context) {
        try {
          return run_replay(context, *options);
        } catch (const std::exception& exception) {
          return report_error({ErrorKind::internal, exception.what()});
        }
      });
  auto* files = command.add_option(
      "files", options->files,
      "Source files; without any, a fixed list is fetched with npm and kept in the cache folder");
  command.add_option("--session", options->session, "A recorded session (docs/replay.md) instead")
      ->check(CLI::ExistingFile)
      ->excludes(files);
  command.add_option("--language", options->language, "Of the fixed list, only this languageId")
      ->excludes(files);
  add_typing_options(command, *options);
  add_server_options(command, *options);
  command.add_flag("--json", options->json, "Print the figures as JSON");
}

}  // namespace caretd::daemon
