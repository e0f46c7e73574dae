#include "daemon/session_settings.h"

#include <charconv>
#include <chrono>
#include <string>
#include <utility>

namespace caretd::daemon {
namespace {

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned value = 0;
    const char* const digits = text.data() + i + 1;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [stopped, error] = std::from_chars(digits, digits + 2, value, 16);
    if (error != std::errc() || stopped != digits + 2 || value == 0) return std::nullopt;
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

}  // namespace

std::optional<std::filesystem::path> path_of_uri(std::string_view uri) {
  constexpr std::string_view kScheme = "file://";
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  if (uri.starts_with("localhost/")) uri.remove_prefix(std::string_view("localhost").size());
  if (!uri.starts_with('/')) return std::nullopt;
  auto path = percent_decoded(uri);
  if (!path) return std::nullopt;
  return std::filesystem::path(*std::move(path));
}

Configuration session_configuration(std::vector<SettingsLayer> process_layers,
                                    const lsp::ClientSettings& client) {
  if (!client.folders.empty()) {
    if (const auto folder = path_of_uri(client.folders.front())) {
      process_layers.push_back(read_settings_file(Layer::project_file, *folder / kProjectFileName));
    }
  }
  process_layers.push_back(
      read_json_settings(Layer::workspace_settings, client.configuration, "the editor's settings"));
  process_layers.push_back(read_json_settings(
      Layer::initialization_options, client.initialization_options, "initializationOptions"));
  return resolve(process_layers);
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
  result.min_probability = completion.min_probability;
  return result;
}

}  // namespace caretd::daemon
