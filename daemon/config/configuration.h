// Settings from several places, laid over each other in order of precedence.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "daemon/config/keys.h"
#include "daemon/config/settings.h"
#include "daemon/paths.h"
#include "support/result.h"

namespace caretd::daemon {

/// Where a value came from; a later layer overrides an earlier one.
enum class Layer : std::uint8_t {
  defaults,
  user_file,               ///< $XDG_CONFIG_HOME/caretd/config.toml
  project_file,            ///< .caretd.toml in the workspace: safe keys only
  workspace_settings,      ///< what a client passes on from workspace scope: safe keys only
  environment,             ///< CARETD_*
  initialization_options,  ///< the client's own, from `initialize`
  command_line
};

/// One value as it was written somewhere.
struct Assignment {
  std::string key;
  SettingValue value;
  std::string where;  ///< "config.toml:12", "CARETD_MODEL_PATH", "--set", ...
};

/// What one place says. `problems` are complete sentences that begin with the place.
struct SettingsLayer {
  Layer layer = Layer::defaults;
  std::vector<Assignment> assignments;
  std::vector<std::string> problems;
};

/// The outcome: valid settings whatever the layers said, and what was wrong with them.
struct Configuration {
  Settings settings;
  std::map<std::string, std::string, std::less<>> origins;  ///< key to place; absent: the default
  std::vector<std::string> problems;

  /// "default" for a key that nobody set.
  [[nodiscard]] std::string origin(std::string_view key) const;
};

/// Lays the layers over each other by their Layer, whatever order they are given in. A value that
/// is unknown, of the wrong type, out of range or not allowed at its layer is left out and
/// becomes a problem.
[[nodiscard]] Configuration resolve(std::span<const SettingsLayer> layers);

/// The file's values; no values and no problem where there is no file. The file may be hostile:
/// only a regular file of at most 1 MiB is read, and no message repeats its text. Relative paths in
/// it are looked up beside it.
[[nodiscard]] SettingsLayer read_settings_file(Layer layer, const std::filesystem::path& file);
[[nodiscard]] SettingsLayer parse_settings(Layer layer, std::string_view toml,
                                           const std::string& file_name);

/// CARETD_SECTION_KEY variables.
[[nodiscard]] SettingsLayer read_environment(const Environment& environment);

/// Nested objects or dotted names; camelCase names are taken as snake_case. `place` names the
/// origin. A leading "caretd" object is looked through.
[[nodiscard]] SettingsLayer read_json_settings(Layer layer, const nlohmann::json& value,
                                               const std::string& place);

/// "key=value" words from the command line.
[[nodiscard]] SettingsLayer read_overrides(const std::vector<std::string>& words);

/// Relative paths among "key=value" words and CARETD_* variables, made absolute against `folder`:
/// the process that reads them may stand in another one. Empty values stay empty.
void make_paths_absolute(std::vector<std::string>& words, Environment& environment,
                         const std::filesystem::path& folder);

inline constexpr std::string_view kProjectFileName = ".caretd.toml";

/// Where the user's configuration file belongs.
[[nodiscard]] std::filesystem::path user_config_file(const UserFolders& folders);

}  // namespace caretd::daemon
