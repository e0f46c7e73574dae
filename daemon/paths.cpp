#include "daemon/paths.h"

#include <optional>
#include <string_view>
#include <system_error>

#include <pwd.h>
#include <unistd.h>

namespace caretd::daemon {

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> absolute_folder(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  if (found == environment.end() || !found->second.starts_with('/')) return std::nullopt;
  return fs::path(found->second);
}

fs::path home_folder(const Environment& environment) {
  if (const auto home = absolute_folder(environment, "HOME")) return *home;
  const passwd* user = getpwuid(getuid());
  return user != nullptr && user->pw_dir != nullptr ? fs::path(user->pw_dir) : fs::path("/");
}

}  // namespace

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

fs::path executable_path() {
  std::error_code error;
  std::string path = fs::read_symlink("/proc/self/exe", error).string();
  if (error) return "caretd";
  // An upgrade replaced the file under this process; the new one is what to start next.
  constexpr std::string_view kReplaced = " (deleted)";
  if (path.ends_with(kReplaced)) path.resize(path.size() - kReplaced.size());
  return path;
}

UserFolders user_folders(const Environment& environment) {
  const fs::path home = home_folder(environment);
  const auto base = [&](const char* variable, const char* fallback) {
    return absolute_folder(environment, variable).value_or(home / fallback) / "caretd";
  };
  UserFolders folders;
  folders.config = base("XDG_CONFIG_HOME", ".config");
  folders.data = base("XDG_DATA_HOME", ".local/share");
  folders.state = base("XDG_STATE_HOME", ".local/state");
  const auto runtime = absolute_folder(environment, "XDG_RUNTIME_DIR");
  folders.runtime = runtime ? *runtime / "caretd"
                            : fs::temp_directory_path() / ("caretd-" + std::to_string(getuid()));
  return folders;
}

}  // namespace caretd::daemon
