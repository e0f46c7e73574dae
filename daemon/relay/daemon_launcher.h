// Finds the user's daemon, or starts it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "daemon/process/handshake.h"
#include "daemon/process/runtime_folder.h"
#include "daemon/relay/stream.h"

namespace caretd::daemon {

/// Connects to the running daemon and says hello. ErrorKind::not_found: none runs;
/// ErrorKind::unsupported: one of another version runs; ErrorKind::unavailable: it refused.
[[nodiscard]] Result<std::unique_ptr<Stream>> greet_daemon(const RuntimeFolder& folder,
                                                           const Hello& hello);
/// The same over TCP; the token is the remote daemon's.
[[nodiscard]] Result<std::unique_ptr<Stream>> greet_remote(const RemoteDaemon& daemon, Hello hello);

struct LaunchOptions {
  std::filesystem::path executable;
  std::vector<std::string> arguments;    ///< passed on to `caretd daemon run`
  std::vector<std::string> environment;  ///< all of it, NAME=value
  bool on_demand = false;                ///< no model is loaded before a session asks for one
  std::filesystem::path log_file;        ///< where its stderr goes until it opens its own log
};

/// Starts a daemon that outlives this process and waits until its socket is there. The caller
/// holds the start lock.
[[nodiscard]] Result<void> launch_daemon(const RuntimeFolder& folder, const LaunchOptions& options);

/// greet_daemon() for a session, with a daemon started when none runs. Any number of processes may
/// call it at once; one of them starts the daemon.
[[nodiscard]] Result<std::unique_ptr<Stream>> connect_session(const RuntimeFolder& folder,
                                                              const LaunchOptions& options,
                                                              const Hello& hello);

}  // namespace caretd::daemon
