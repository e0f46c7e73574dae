// `caretd doctor`: what works, what does not, and what to do about it.
#include "daemon/doctor/doctor.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/commands/commands.h"
#include "daemon/session_settings.h"

namespace caretd::daemon {

namespace {

struct DoctorOptions {
  bool json = false;
  bool quick = false;
};

const char* word_of(Severity severity) {
  switch (severity) {
    case Severity::good:
      return "ok";
    case Severity::note:
      return "note";
    case Severity::problem:
      return "problem";
  }
  return "";
}

std::vector<Finding> examine(const CommandContext& context, const DoctorOptions& options) {
  const Configuration configuration = resolve(context.settings_layers());
  const ModelSettings& settings = configuration.settings.model;
  std::vector<Finding> all = examine_configuration(context);
  const auto append = [&all](std::vector<Finding> more) {
    std::move(more.begin(), more.end(), std::back_inserter(all));
  };
  append(examine_permissions(context, configuration.settings));
  append(examine_cpu(settings));
  append(examine_gpus(context, settings));
  append(examine_model(context, settings));
  if (!options.quick) append(examine_weights(context, settings));
  if (has_chat_model(configuration.settings)) {
    const ModelSettings chat = chat_engine_settings(configuration.settings).model;
    append(examine_model(context, chat));
    if (!options.quick) append(examine_weights(context, chat));
  }
  append(examine_daemon(context));
  if (!options.quick) append(run_self_test(context, settings));
  return all;
}

void print_json(const std::vector<Finding>& findings) {
  nlohmann::json value{{"version", version()}, {"findings", nlohmann::json::array()}};
  for (const Finding& finding : findings) {
    value["findings"].push_back({{"topic", finding.topic},
                                 {"severity", word_of(finding.severity)},
                                 {"text", finding.text},
                                 {"remedy", finding.remedy}});
  }
  std::cout << value.dump(2) << '\n';
}

void print(const std::vector<Finding>& findings) {
  std::cout << build_details() << "\n\n";
  for (const Finding& finding : findings) {
    std::cout << word_of(finding.severity) << '\t' << finding.topic << ": " << finding.text << '\n';
    if (!finding.remedy.empty()) std::cout << "\t  -> " << finding.remedy << '\n';
  }
}

int run(const CommandContext& context, const DoctorOptions& options) {
  const auto findings = examine(context, options);
  options.json ? print_json(findings) : print(findings);
  const bool sound = std::none_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::problem;
  });
  return sound ? kSuccess : kFailure;
}

}  // namespace

void add_doctor_command(CommandLine& line) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App& command =
      line.add("doctor", "Check the machine, the model, the configuration and the daemon",
               "caretd doctor\n"
               "caretd doctor --model /srv/models/DeepSeek-Coder-V2-Lite-Base --device cuda\n"
               "caretd doctor --json",
               [options](CommandContext& context) { return run(context, *options); });
  command.add_flag("--json", options->json, "Print the findings as JSON");
  command.add_flag("--quick", options->quick, "Leave out what reads and loads the whole model");
}

}  // namespace caretd::daemon
