// What `caretd doctor` looks at: the machine, the model, the configuration, the daemon.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/command_line.h"
#include "daemon/config/settings.h"

namespace caretd::daemon {

enum class Severity : std::uint8_t { good, note, problem };

/// One thing that was looked at. A problem and most notes say what to do.
struct Finding {
  std::string topic;  ///< "cpu", "gpu", "model", "memory", "configuration",
                      ///< "permissions", "daemon", "self test"
  Severity severity = Severity::good;
  std::string text;
  std::string remedy;
};

// Each looks at one topic and changes nothing.
[[nodiscard]] std::vector<Finding> examine_configuration(const CommandContext& context);
[[nodiscard]] std::vector<Finding> examine_cpu(const ModelSettings& settings);
[[nodiscard]] std::vector<Finding> examine_gpus(const CommandContext& context,
                                                const ModelSettings& settings);
[[nodiscard]] std::vector<Finding> examine_model(const CommandContext& context,
                                                 const ModelSettings& settings);
/// Reads every byte of the model.
[[nodiscard]] std::vector<Finding> examine_weights(const CommandContext& context,
                                                   const ModelSettings& settings);
[[nodiscard]] std::vector<Finding> examine_permissions(const CommandContext& context,
                                                       const Settings& settings);
[[nodiscard]] std::vector<Finding> examine_daemon(const CommandContext& context);
/// Loads the model and decodes five tokens.
[[nodiscard]] std::vector<Finding> run_self_test(const CommandContext& context,
                                                 const ModelSettings& settings);

}  // namespace caretd::daemon
