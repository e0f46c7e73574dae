// Where things are: the installed tree around the executable and the user's folders (XDG Base
// Directory Specification 0.8).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "support/result.h"

namespace caretd::daemon {

/// Environment variables by name. A value that is passed on, so that tests need not change the
/// process's own.
using Environment = std::map<std::string, std::string>;
[[nodiscard]] Environment process_environment();

/// This program's own file, symbolic links resolved.
[[nodiscard]] std::filesystem::path executable_path();

/// The folders of a release tree, build/release or an installation prefix alike:
/// bin/caretd, share/caretd/models, lib/caretd.
struct InstallTree {
  std::filesystem::path executable;

  [[nodiscard]] std::filesystem::path prefix() const {
    return executable.parent_path().parent_path();
  }
  [[nodiscard]] std::filesystem::path models() const { return prefix() / "share/caretd/models"; }
  [[nodiscard]] std::filesystem::path embedded_model() const { return models() / "tiny"; }
  [[nodiscard]] std::filesystem::path cuda_module() const {
    return prefix() / "lib/caretd/caretd_cuda.so";
  }
};

/// The user's folders. None of them is created here.
struct UserFolders {
  std::filesystem::path config;   ///< $XDG_CONFIG_HOME/caretd, else ~/.config/caretd
  std::filesystem::path data;     ///< $XDG_DATA_HOME/caretd, else ~/.local/share/caretd
  std::filesystem::path state;    ///< $XDG_STATE_HOME/caretd, else ~/.local/state/caretd
  std::filesystem::path runtime;  ///< $XDG_RUNTIME_DIR/caretd, else /tmp/caretd-UID
};
/// Relative values are ignored, as the specification asks.
[[nodiscard]] UserFolders user_folders(const Environment& environment);

}  // namespace caretd::daemon
