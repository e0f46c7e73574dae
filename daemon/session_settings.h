// A session's settings: the process's own layers, the workspace's file and what the client says.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/configuration.h"
#include "lsp/server.h"

namespace caretd::daemon {

/// The path that a file URI names; nothing for other schemes and hosts.
[[nodiscard]] std::optional<std::filesystem::path> path_of_uri(std::string_view uri);

/// The first workspace folder's .caretd.toml, whether or not it exists; nothing without a folder.
[[nodiscard]] std::optional<std::filesystem::path> project_file(const lsp::ClientSettings& client);

/// The user's file of a session that was given one of its own: `own`, but for the keys of the
/// process, which are as `shared`, the daemon's file, has them. Where `own` sets such keys, a
/// problem says that they do not hold.
[[nodiscard]] SettingsLayer session_file(const SettingsLayer& shared, SettingsLayer own);

/// All layers resolved. `process_layers` are file, environment and command line; the first
/// workspace folder's .caretd.toml and the client's configuration count as a cloned repository's
/// (safe keys only), its initializationOptions as the user's own.
[[nodiscard]] Configuration session_configuration(std::vector<SettingsLayer> process_layers,
                                                  const lsp::ClientSettings& client);

/// The text of a .gitignore or .caretignore; nothing where there is no such regular file or it is
/// larger than 1 MiB.
[[nodiscard]] std::optional<std::string> read_ignore_file(const std::string& path);

[[nodiscard]] lsp::Settings to_session_settings(const Settings& settings);
[[nodiscard]] lsp::ChatSettings to_chat_settings(const Settings& settings);

/// Whether chat.model names another model than the one that completes.
[[nodiscard]] bool has_chat_model(const Settings& settings);
/// The settings of the engine that completes and of the one that chats: the same, or a model each.
/// Two local models have half of the KV budgets each.
[[nodiscard]] Settings completion_engine_settings(Settings settings);
[[nodiscard]] Settings chat_engine_settings(Settings settings);

}  // namespace caretd::daemon
