#include "daemon/paths.h"

#include <cstdlib>
#include <system_error>

#include <pwd.h>
#include <unistd.h>

namespace caretd::daemon {

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> absolute_folder(const Environment& environment, const std::string& name) {
  const auto value = environment(name);
  if (!value || value->empty() || value->front() != '/') return std::nullopt;
  return fs::path(*value);
}

fs::path home_folder(const Environment& environment) {
  if (const auto home = absolute_folder(environment, "HOME")) return *home;
  const passwd* user = getpwuid(getuid());
  return user != nullptr && user->pw_dir != nullptr ? fs::path(user->pw_dir) : fs::path("/");
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

fs::path executable_path() {
  std::error_code error;
  fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path("caretd") : path;
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
