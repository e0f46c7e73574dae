// The installation's part of the doctor: configuration, model files, daemon, self test.
#include <array>
#include <utility>

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/doctor/doctor.h"
#include "daemon/engines/model_loading.h"
#include "daemon/progress.h"
#include "daemon/quantities.h"
#include "daemon/relay/daemon_status.h"
#include "engine/checkpoint/check_model.h"
#include "engine/checkpoint/inspect.h"
#include "engine/text/tokenizer.h"
#include "engine/verify/sequence_driver.h"
#include "support/clock.h"

namespace caretd::daemon {

namespace {

constexpr int kSelfTestTokens = 5;

std::string missing_control_tokens(const engine::Tokenizer& tokenizer) {
  constexpr std::array<std::pair<engine::ControlToken, const char*>, 3> kFim{
      {{engine::ControlToken::fim_begin, "begin"},
       {engine::ControlToken::fim_hole, "hole"},
       {engine::ControlToken::fim_end, "end"}}};
  std::string missing;
  for (const auto& [token, name] : kFim) {
    if (!tokenizer.control(token)) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  return missing;
}

std::vector<Finding> compare_tokenizer(const engine::Tokenizer& tokenizer,
                                       const engine::ModelConfig& config) {
  std::vector<Finding> findings;
  const auto disagree = [&](engine::ControlToken token, engine::TokenId id) {
    const auto known = tokenizer.control(token);
    return known && *known != id;
  };
  if (tokenizer.size() > config.vocab_size ||
      disagree(engine::ControlToken::begin_of_sentence, config.begin_of_sentence) ||
      disagree(engine::ControlToken::end_of_sentence, config.end_of_sentence)) {
    findings.push_back({"model", Severity::problem, "tokenizer.json and config.json disagree",
                        "take both files from the same model"});
  }
  const std::string missing = missing_control_tokens(tokenizer);
  findings.push_back(
      missing.empty()
          ? Finding{"model", Severity::good, "the tokenizer has the fill-in-the-middle tokens", {}}
          : Finding{
                "model", Severity::note,
                "the tokenizer lacks the fill-in-the-middle tokens (" + missing + ")",
                "completions will ignore what is behind the cursor; use a base model with FIM"});
  return findings;
}

}  // namespace

std::vector<Finding> examine_configuration(const CommandContext& context) {
  const auto file = context.user_config();
  std::vector<Finding> findings;
  const bool there = std::filesystem::exists(file);
  findings.push_back({"configuration",
                      Severity::good,
                      file.string() + (there ? "" : " does not exist; defaults apply"),
                      {}});
  for (const std::string& problem : resolve(context.settings_layers()).problems) {
    findings.push_back({"configuration", Severity::problem, problem,
                        "correct it there; caretd config keys lists what may be set"});
  }
  return findings;
}

std::vector<Finding> examine_model(const CommandContext& context, const ModelSettings& settings) {
  const auto folder = model_folder(settings, context.install);
  const auto summary = engine::summarize_model(folder);
  if (!summary) {
    return {{"model", Severity::problem, summary.error().message,
             settings.path.empty() ? "install caretd again" : "set model.path to a model folder"}};
  }
  std::vector<Finding> findings{
      {"model",
       Severity::good,
       fmt::format("{}: {} parameters, {}, every tensor is there in its shape", folder.string(),
                   parameter_count(summary->parameters), summary->weight_format),
       {}}};
  const auto tokenizer = engine::Tokenizer::load(folder);
  if (!tokenizer) {
    findings.push_back({"model", Severity::problem, tokenizer.error().message,
                        "copy tokenizer.json into the model folder"});
    return findings;
  }
  for (Finding& finding : compare_tokenizer(**tokenizer, summary->config)) {
    findings.push_back(std::move(finding));
  }
  return findings;
}

std::vector<Finding> examine_weights(const CommandContext& context, const ModelSettings& settings) {
  const auto folder = model_folder(settings, context.install);
  const SteadyClock clock;
  ProgressReporter progress("reading the weights", clock, stderr_is_terminal());
  engine::CheckOptions options;
  options.progress = [&](double fraction) { progress.update(fraction); };
  const auto report = engine::check_model(folder, options);
  if (!report) return {};  // examine_model() has said why
  if (report->sound()) {
    return {{"model", Severity::good, "every value of every tensor is finite", {}}};
  }
  const auto& first = report->findings.front();
  return {{"model", Severity::problem,
           fmt::format("{} {} {} ({} findings in all)", first.file, first.tensor, first.problem,
                       report->findings.size()),
           "download the file again; caretd models check names all findings"}};
}

std::vector<Finding> examine_daemon(const CommandContext& context) {
  const std::string remedy = "run caretd daemon start; an editor starts it by itself";
  if (!std::filesystem::exists(context.folders.runtime)) {
    return {{"daemon", Severity::good, "none is running", remedy}};
  }
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) {
    return {{"daemon", Severity::problem, folder.error().message,
             "without it every window loads a model of its own"}};
  }
  const auto status = read_daemon_status(*folder);
  if (!status && status.error().kind == ErrorKind::not_found) {
    return {{"daemon", Severity::good, "none is running", remedy}};
  }
  if (!status) {
    return {{"daemon", Severity::problem, status.error().message, "run caretd daemon restart"}};
  }
  std::vector<Finding> findings{
      {"daemon",
       Severity::good,
       "one is running at " + folder->socket().string() + ", open to this user alone",
       {}}};
  if (const std::string problem = http_problem_of(*status); !problem.empty()) {
    findings.push_back({"daemon", Severity::problem, problem, "set another http.address"});
  }
  return findings;
}

std::vector<Finding> examine_permissions(const CommandContext& context, const Settings& settings) {
  namespace fs = std::filesystem;
  constexpr auto kWritable = fs::perms::group_write | fs::perms::others_write;
  constexpr auto kReadable = fs::perms::group_read | fs::perms::others_read;
  std::vector<Finding> findings;
  const auto require = [&findings](const fs::path& file, fs::perms forbidden, const char* what,
                                   const char* mode) {
    std::error_code error;
    const auto status = fs::status(file, error);
    if (error || (status.permissions() & forbidden) == fs::perms::none) return;
    findings.push_back({"permissions", Severity::problem, file.string() + what,
                        fmt::format("run chmod {} {}", mode, file.string())});
  };
  require(context.user_config(), kWritable, " can be written by other users", "go-w");
  for (const std::string& secret :
       {settings.listen.key, settings.listen.token_file, settings.remote.key_file}) {
    if (!secret.empty()) require(secret, kReadable, " can be read by other users", "go-rwx");
  }
  if (access(context.folders.state.c_str(), F_OK) == 0 &&
      access(context.folders.state.c_str(), W_OK) != 0) {
    findings.push_back({"permissions", Severity::note,
                        context.folders.state.string() + " cannot be written; logs go to stderr",
                        "make it this user's"});
  }
  if (findings.empty()) {
    findings.push_back({"permissions", Severity::good, "configuration, secrets and logs", {}});
  }
  return findings;
}

std::vector<Finding> run_self_test(const CommandContext& context, const ModelSettings& settings) {
  const SteadyClock clock;
  const TimePoint begin = clock.now();
  const auto failed = [](const Error& error) {
    return std::vector<Finding>{{"self test", Severity::problem, error.message,
                                 "see what is said about the model and the device above"}};
  };
  auto model = [&] {
    ProgressReporter progress("loading the model", clock, stderr_is_terminal());
    return load_model(settings, context.install, context.log,
                      [&](double fraction) { progress.update(fraction); }, {});
  }();
  if (!model) return failed(model.error());
  const TimePoint loaded = clock.now();
  engine::PageAllocator pages(model->runner->info().pages);
  engine::SequenceDriver sequence(*model->runner, pages);
  auto tokens = model->tokenizer->encode("def add(a, b):\n    return");
  TimePoint first_token = loaded;
  for (int i = 0; i < kSelfTestTokens; ++i) {
    const auto rows = sequence.append(tokens, engine::Output::candidates, false);
    if (!rows) return failed(rows.error());
    tokens = {rows->front().candidates.front().id};
    if (i == 0) first_token = clock.now();
  }
  const double rest = to_milliseconds(clock.now() - first_token);
  return {
      {"self test",
       Severity::good,
       fmt::format("{}: loaded in {:.0f} ms, first of {} tokens after {:.1f} ms, then {:.1f} "
                   "ms a token",
                   model->runner->info().device, to_milliseconds(loaded - begin), kSelfTestTokens,
                   to_milliseconds(first_token - loaded), rest / (kSelfTestTokens - 1)),
       {}}};
}

}  // namespace caretd::daemon
