#include "daemon/session_settings.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "daemon/config/keys.h"
#include "lsp/documents/uri.h"

namespace caretd::daemon {

namespace {

/// A remote model that completes needs no KV of ours.
bool shares_kv_budget(const Settings& settings) {
  return has_chat_model(settings) && settings.remote.url.empty();
}

}  // namespace

std::optional<std::filesystem::path> path_of_uri(std::string_view uri) {
  auto path = lsp::path_of_uri(uri);
  if (!path) return std::nullopt;
  return std::filesystem::path(*std::move(path));
}

std::optional<std::filesystem::path> project_file(const lsp::ClientSettings& client) {
  if (client.folders.empty()) return std::nullopt;
  const auto folder = path_of_uri(client.folders.front());
  if (!folder) return std::nullopt;
  return *folder / kProjectFileName;
}

SettingsLayer session_file(const SettingsLayer& shared, SettingsLayer own) {
  const auto of_process = [](const Assignment& assignment) {
    return concerns_process(assignment.key);
  };
  std::vector<std::string> left_out;
  for (const Assignment& assignment : own.assignments) {
    if (of_process(assignment)) left_out.push_back(assignment.key);
  }
  if (!left_out.empty()) {
    own.problems.push_back(
        fmt::format("{} in this window's --config file would hold for every window, so what the "
                    "daemon was started with holds; to change it, run: caretd daemon restart "
                    "--config FILE",
                    fmt::join(left_out, ", ")));
  }
  std::erase_if(own.assignments, of_process);
  std::ranges::copy_if(shared.assignments, std::back_inserter(own.assignments), of_process);
  return own;
}

Configuration session_configuration(std::vector<SettingsLayer> process_layers,
                                    const lsp::ClientSettings& client) {
  if (const auto file = project_file(client)) {
    process_layers.push_back(read_settings_file(Layer::project_file, *file));
  }
  process_layers.push_back(
      read_json_settings(Layer::workspace_settings, client.configuration, "the editor's settings"));
  process_layers.push_back(read_json_settings(
      Layer::initialization_options, client.initialization_options, "initializationOptions"));
  return resolve(process_layers);
}

std::optional<std::string> read_ignore_file(const std::string& path) {
  constexpr std::uintmax_t kMostBytes = std::uintmax_t{1} << 20;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  if (std::filesystem::file_size(path, error) > kMostBytes || error) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

lsp::Settings to_session_settings(const Settings& settings) {
  const CompletionSettings& completion = settings.completion;
  lsp::Settings result;
  result.enabled = completion.enabled;
  result.disabled_languages = completion.disabled_languages;
  result.in_comments = completion.in_comments;
  result.multiline = completion.multiline;
  result.prompt_tokens = static_cast<int>(completion.prompt_tokens);
  result.max_tokens = static_cast<int>(completion.max_tokens);
  result.time_budget = std::chrono::milliseconds(completion.time_budget_ms);
  result.gate.automatic = completion.min_probability;
  for (const std::string& entry : completion.language_min_probability) {
    if (auto own = parse_language_probability(entry)) {
      result.gate.per_language.insert_or_assign(std::move(own->language), own->probability);
    }
  }
  result.related_code = settings.context.related_code;
  result.ignore = settings.context.ignore;
  result.respect_gitignore = settings.context.respect_gitignore;
  return result;
}

lsp::ChatSettings to_chat_settings(const Settings& settings) {
  return {.max_tokens = static_cast<int>(settings.chat.max_tokens),
          .temperature = static_cast<float>(settings.chat.temperature),
          .top_p = static_cast<float>(settings.chat.top_p)};
}

bool has_chat_model(const Settings& settings) {
  const bool same = settings.remote.url.empty() && settings.chat.model == settings.model.path;
  return !settings.chat.model.empty() && !same;
}

Settings completion_engine_settings(Settings settings) {
  if (!shares_kv_budget(settings)) return settings;
  settings.model.kv_mebibytes -= settings.model.kv_mebibytes / 2;
  settings.model.host_kv_mebibytes -= settings.model.host_kv_mebibytes / 2;
  return settings;
}

Settings chat_engine_settings(Settings settings) {
  if (!has_chat_model(settings)) return settings;
  if (shares_kv_budget(settings)) {
    settings.model.kv_mebibytes /= 2;
    settings.model.host_kv_mebibytes /= 2;
  }
  settings.model.path = settings.chat.model;
  settings.remote = {};
  return settings;
}

}  // namespace caretd::daemon
