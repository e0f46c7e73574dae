// The command line: a tree of subcommands, each of which lives in a file of its own under
// daemon/commands/ and adds itself here.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "daemon/config/configuration.h"
#include "daemon/paths.h"
#include "support/log.h"

namespace caretd::daemon {

/// What the process answers to the shell; documented in `caretd --help`.
enum ExitCode : int {
  kSuccess = 0,
  kFailure = 1,      ///< the work was done and the answer is no: a miss, an unfit model, an error
  kUsage = 2,        ///< the command line or a configuration file cannot be understood
  kUnavailable = 3,  ///< a daemon, model or device that was asked for is not there
};

/// What a subcommand is given when it runs.
struct CommandContext {
  InstallTree install;
  UserFolders folders;
  Environment environment;
  Logger log;
  std::optional<std::filesystem::path> config_file;  ///< --config, absolute
  std::vector<std::string> overrides;  ///< --set KEY=VALUE and its shorthands; paths are absolute

  /// The user's configuration file, whether or not it exists.
  [[nodiscard]] std::filesystem::path user_config() const;
  /// What the user's file, the environment and the command line say, read anew at every call.
  [[nodiscard]] std::vector<SettingsLayer> settings_layers() const;
  /// Those layers resolved; problems are logged as warnings.
  [[nodiscard]] Settings settings() const;
};

using CommandHandler = std::function<int(CommandContext& context)>;

/// The program's subcommands over CLI11.
class CommandLine {
 public:
  CommandLine(InstallTree install, Environment environment);

  /// Adds a subcommand. `examples` is shown under "Examples:" in its help, a line each. `handler`
  /// runs after the whole command line was parsed and returns the exit code. The returned App is
  /// where the command adds its options; variables they bind to must outlive run(), which is why
  /// commands keep them in a shared_ptr that the handler captures.
  CLI::App& add(const std::string& name, const std::string& description,
                const std::string& examples, CommandHandler handler);
  /// The same below another subcommand (`caretd daemon start`).
  CLI::App& add(CLI::App& parent, const std::string& name, const std::string& description,
                const std::string& examples, CommandHandler handler);
  /// A subcommand that only groups others. `examples` as for add().
  CLI::App& add_group(const std::string& name, const std::string& description,
                      const std::string& examples = {});

  [[nodiscard]] const CLI::App& app() const { return app_; }

  /// Parses and runs. Prints help, version and usage errors itself.
  int run(int argc, const char* const* argv);

 private:
  void use_absolute_paths();

  CLI::App app_;
  CommandContext context_;
  std::string log_level_;
  std::string config_file_;
  CommandHandler selected_;
};

/// Prints the error to stderr and says which exit code goes with it.
int report_error(const Error& error);

/// Every subcommand of caretd, in the order --help lists them.
void add_all_commands(CommandLine& line);

}  // namespace caretd::daemon
