// The first line each way on a connection to the daemon, before the Language Server Protocol (or
// one JSON answer) takes over. A line of JSON, at most kMaxHandshakeBytes long:
//
//   {"caretd": "0.1.0", "for": "session", "token": "...", "set": ["model.threads=2"],
//    "environment": {"CARETD_LOG_LEVEL": "debug"}, "config": "/srv/other.toml"}
//   {"caretd": "0.1.0", "ok": true, "pid": 4711}   or   {"caretd": ..., "error": "..."}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/result.h"

namespace caretd::daemon {

inline constexpr std::size_t kMaxHandshakeBytes = 64 << 10;

/// What a connection is for.
enum class Purpose : std::uint8_t {
  session,  ///< bytes of the Language Server Protocol follow
  status,   ///< one line of JSON follows (docs/daemon.md)
  stop      ///< the daemon stops; the connection ends when it has
};

struct Hello {
  std::string version;
  Purpose purpose = Purpose::session;
  std::string token;  ///< for listeners on TCP; empty on the Unix socket
  /// What the relay was given, for its session alone: --set words and CARETD_* variables.
  std::vector<std::string> overrides;
  std::map<std::string, std::string> environment;
  std::string config;  ///< its --config, absolute; empty: the daemon's own file. Unix socket only
};

struct Welcome {
  std::string version;
  int pid = 0;
  std::string error;  ///< not empty: the daemon refuses
};

/// Lines with their terminator.
[[nodiscard]] std::string write_hello(const Hello& hello);
[[nodiscard]] std::string write_welcome(const Welcome& welcome);

/// Without the terminator. An Error for anything that is no such line.
[[nodiscard]] Result<Hello> read_hello(std::string_view line);
[[nodiscard]] Result<Welcome> read_welcome(std::string_view line);

/// Compares secrets in time that depends on their lengths only.
[[nodiscard]] bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace caretd::daemon
