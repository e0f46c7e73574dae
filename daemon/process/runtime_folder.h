// The folder in which the user's daemon is found: its socket and its locks. Nobody else may look
// into it.
#pragma once

#include <chrono>
#include <filesystem>

#include "daemon/process/unique_fd.h"
#include "support/result.h"

namespace caretd::daemon {

struct RuntimeFolder {
  std::filesystem::path path;

  [[nodiscard]] std::filesystem::path socket() const { return path / "daemon.sock"; }
  /// Held by the daemon for as long as it lives; holds its process id.
  [[nodiscard]] std::filesystem::path daemon_lock() const { return path / "daemon.lock"; }
  /// Held while a daemon is being started, so that ten editors start one.
  [[nodiscard]] std::filesystem::path start_lock() const { return path / "start.lock"; }
};

/// Creates the folder with mode 0700 where it is missing. An Error when it is not a folder of this
/// user's alone: a link, somebody else's, or open to others.
[[nodiscard]] Result<RuntimeFolder> open_runtime_folder(const std::filesystem::path& path);

/// Takes an exclusive lock on a file, which is created with mode 0600. With `wait` it blocks,
/// else ErrorKind::unavailable says that somebody holds it.
[[nodiscard]] Result<UniqueFd> lock_file(const std::filesystem::path& file, bool wait);

/// The same with an end to the waiting: for a lock whose holder is on its way out.
[[nodiscard]] Result<UniqueFd> lock_file_within(const std::filesystem::path& file,
                                                std::chrono::milliseconds patience);

}  // namespace caretd::daemon
