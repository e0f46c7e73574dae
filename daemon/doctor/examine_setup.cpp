// The installation's part of the doctor: configuration, model files, daemon, self test.
#include <array>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/build_info.h"
#include "daemon/doctor/doctor.h"
#include "daemon/model_loading.h"
#include "daemon/relay/daemon_launcher.h"
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
    findings.push_back({"configuration", Severity::problem, problem, "correct it there"});
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
       fmt::format("{}: {:.3f} billion parameters, {}, every tensor is there", folder.string(),
                   static_cast<double>(summary->parameters) / 1e9, summary->weight_format),
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

std::vector<Finding> examine_daemon(const CommandContext& context) {
  const auto folder = open_runtime_folder(context.folders.runtime);
  if (!folder) return {{"daemon", Severity::problem, folder.error().message, {}}};
  const auto stream = greet_daemon(*folder, {std::string(version()), Purpose::status, {}, {}, {}});
  const std::string socket = folder->socket().string();
  if (stream) return {{"daemon", Severity::good, "one is running at " + socket, {}}};
  if (stream.error().kind == ErrorKind::not_found) {
    return {{"daemon",
             Severity::good,
             "none is running; an editor or caretd daemon start starts one",
             {}}};
  }
  return {{"daemon", Severity::problem, stream.error().message, "caretd daemon restart"}};
}

std::vector<Finding> run_self_test(const CommandContext& context, const ModelSettings& settings) {
  const SteadyClock clock;
  const TimePoint begin = clock.now();
  const auto failed = [](const Error& error) {
    return std::vector<Finding>{{"self test", Severity::problem, error.message, {}}};
  };
  auto model = load_model(settings, context.install, context.log, [](double) {}, {});
  if (!model) return failed(model.error());
  const TimePoint loaded = clock.now();
  engine::PageAllocator pages(model->runner->info().pages);
  engine::SequenceDriver sequence(*model->runner, pages);
  auto tokens = model->tokenizer->encode("def add(a, b):\n    return");
  for (int i = 0; i < kSelfTestTokens; ++i) {
    const auto rows = sequence.append(tokens, engine::Output::candidates, false);
    if (!rows) return failed(rows.error());
    tokens = {rows->front().candidates.front().id};
  }
  return {{"self test",
           Severity::good,
           fmt::format("{}: loaded in {:.0f} ms, {} tokens in {:.1f} ms",
                       model->runner->info().device, to_milliseconds(loaded - begin),
                       kSelfTestTokens, to_milliseconds(clock.now() - loaded)),
           {}}};
}

}  // namespace caretd::daemon
