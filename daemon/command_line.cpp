#include "daemon/command_line.h"

#include <iostream>
#include <utility>

#include "daemon/build_info.h"

namespace caretd::daemon {

namespace {

/// The daemon's log has its own default; a terminal shows warnings unless more was asked for.
std::string stderr_log_level(const Configuration& configuration) {
  const bool asked_for = configuration.origins.contains("log.level");
  return asked_for ? configuration.settings.log.level : "warn";
}

constexpr auto kFirstSteps =
    "caretd complete src/main.py:12:5\n"
    "caretd doctor\n"
    "caretd lsp                       (what an editor starts)\n"
    "caretd models --help";

constexpr auto kExitCodes =
    "Exit codes: 0 success, 1 the operation failed or a check found a fault,\n"
    "2 the command line or the configuration is wrong, 3 something needed is not available.";

std::string footer_with(const std::string& examples) {
  if (examples.empty()) return kExitCodes;
  std::string footer = "Examples:\n";
  size_t begin = 0;
  while (begin < examples.size()) {
    const size_t end = std::min(examples.find('\n', begin), examples.size());
    footer += "  " + examples.substr(begin, end - begin) + '\n';
    begin = end + 1;
  }
  return footer + '\n' + kExitCodes;
}

/// What stands where a subcommand belongs and is none; the library only says that one is required.
std::string unknown_command(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining(true);
  const bool is_word = !words.empty() && !words.front().starts_with('-');
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
  return is_word && deepest->get_require_subcommand_min() > 0 ? words.front() : std::string();
}

}  // namespace

std::filesystem::path CommandContext::user_config() const {
  return config_file.value_or(user_config_file(folders));
}

std::vector<SettingsLayer> CommandContext::settings_layers() const {
  return {read_settings_file(Layer::user_file, user_config()), read_environment(environment),
          read_overrides(overrides)};
}

Settings CommandContext::settings() const {
  Configuration configuration = resolve(settings_layers());
  for (const std::string& problem : configuration.problems) log->warn("{}", problem);
  return std::move(configuration.settings);
}

CommandLine::CommandLine(InstallTree install, Environment environment)
    : app_("Inline code completion and code chat from a model in the daemon's own process",
           "caretd") {
  context_.install = std::move(install);
  context_.folders = user_folders(environment);
  context_.environment = std::move(environment);
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.set_version_flag("--version", build_details);
  app_.set_help_all_flag("--help-all", "Print the help of every subcommand");
  app_.add_option("--log-level", log_level_, "What is logged to stderr (log.level)")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  app_.add_option("--config", config_file_, "Configuration file instead of the user's own")
      ->check(CLI::ExistingFile);
  app_.add_option("--set", context_.overrides, "Override a setting (caretd config keys lists them)")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->allow_extra_args(false)  // what follows belongs to the subcommand
      ->take_all();
  for (const auto& [option, key] : {std::pair{"--model", "model.path"},
                                    {"--device", "model.device"},
                                    {"--threads", "model.threads"}}) {
    app_.add_option_function<std::string>(
        option,
        [this, key = std::string(key)](const std::string& value) {
          context_.overrides.push_back(key + '=' + value);
        },
        std::string("Shorthand for --set ") + key);
  }
  app_.footer(footer_with(kFirstSteps));
}

CLI::App& CommandLine::add(const std::string& name, const std::string& description,
                           const std::string& examples, CommandHandler handler) {
  return add(app_, name, description, examples, std::move(handler));
}

CLI::App& CommandLine::add(CLI::App& parent, const std::string& name,
                           const std::string& description, const std::string& examples,
                           CommandHandler handler) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer(footer_with(examples));
  command->callback([this, handler = std::move(handler)] { selected_ = handler; });
  return *command;
}

CLI::App& CommandLine::add_group(const std::string& name, const std::string& description,
                                 const std::string& examples) {
  CLI::App* group = app_.add_subcommand(name, description);
  group->require_subcommand(1);
  group->footer(footer_with(examples));
  return *group;
}

int CommandLine::run(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (const std::string word = unknown_command(app_); !word.empty()) {
      std::cerr << "caretd: there is no command '" << word << "'; caretd --help lists them\n";
      return kUsage;
    }
    return app_.exit(error) == 0 ? kSuccess : kUsage;
  }
  use_absolute_paths();
  if (log_level_.empty()) log_level_ = stderr_log_level(resolve(context_.settings_layers()));
  context_.log = make_stderr_logger(log_level_);
  return selected_(context_);
}

/// Everything that is handed on goes to a daemon, which stands in another folder.
void CommandLine::use_absolute_paths() {
  std::error_code error;
  const auto folder = std::filesystem::current_path(error);
  if (!config_file_.empty()) context_.config_file = (folder / config_file_).lexically_normal();
  if (!error) make_paths_absolute(context_.overrides, context_.environment, folder);
}

int report_error(const Error& error) {
  std::cerr << "caretd: " << error.message << '\n';
  return error.kind == ErrorKind::not_found || error.kind == ErrorKind::unavailable ? kUnavailable
                                                                                    : kFailure;
}

}  // namespace caretd::daemon
