// The daemon as a process: its locks, signals, log, listeners, engines and idle times.
#pragma once

#include <filesystem>

#include "daemon/command_line.h"

namespace caretd::daemon {

struct DaemonProcessOptions {
  std::filesystem::path runtime_folder;  ///< empty: the user's
  bool on_demand = false;                ///< load no model before a session asks for one
  int ready_fd = -1;      ///< told by a line once the socket is there: empty, or what went wrong
  bool insecure = false;  ///< listen in the clear off the loopback interface
};

/// Runs until it is told to stop (a signal, `caretd daemon stop`, nobody left for
/// daemon.exit_after_minutes). Returns the exit code.
[[nodiscard]] int run_daemon(const CommandContext& context, const DaemonProcessOptions& options);

}  // namespace caretd::daemon
