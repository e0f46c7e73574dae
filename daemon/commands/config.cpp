// `caretd config`: what is set, where it was set, and what can be set.
#include <algorithm>
#include <iostream>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "daemon/commands/commands.h"

namespace caretd::daemon {

namespace {

struct ShowOptions {
  bool origin = false;
  std::string workspace;
};

int show(const CommandContext& context, const ShowOptions& options) {
  std::vector<SettingsLayer> layers = context.settings_layers();
  if (!options.workspace.empty()) {
    const auto file = std::filesystem::path(options.workspace) / kProjectFileName;
    layers.push_back(read_settings_file(Layer::project_file, file));
  }
  const Configuration configuration = resolve(layers);
  for (const Key& key : all_keys()) {
    std::string value = to_toml(key.get(configuration.settings));
    if (key.secret && value != to_toml(key.get(Settings{}))) value = "(set)";
    const std::string line = fmt::format("{} = {}", key.name, value);
    std::cout << (options.origin
                      ? fmt::format("{:<44} # {}\n", line, configuration.origin(key.name))
                      : line + '\n');
  }
  for (const std::string& problem : configuration.problems)
    std::cerr << "caretd: " << problem << '\n';
  return configuration.problems.empty() ? kSuccess : kUsage;
}

}  // namespace

void add_config_command(CommandLine& line) {
  CLI::App& group = line.add_group("config", "Show the configuration and what can be configured",
                                   "caretd config show --origin\ncaretd config path");
  auto options = std::make_shared<ShowOptions>();
  CLI::App& shown =
      line.add(group, "show", "Print every setting with its value",
               "caretd config show --origin\n"
               "caretd config show --origin --workspace ~/src/project",
               [options](CommandContext& context) { return show(context, *options); });
  shown.add_flag("--origin", options->origin, "Print where each value came from");
  shown.add_option("--workspace", options->workspace, "Apply this folder's .caretd.toml as well")
      ->check(CLI::ExistingDirectory);
  line.add(group, "keys", "Print every key with its default, values and meaning as a table",
           "caretd config keys", [](CommandContext&) {
             std::cout << keys_table();
             return kSuccess;
           });
  line.add(group, "path", "Print the path of the configuration file", "caretd config path",
           [](CommandContext& context) {
             std::cout << context.user_config().string() << '\n';
             return kSuccess;
           });
}

}  // namespace caretd::daemon
