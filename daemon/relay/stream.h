// A connection to a daemon as the relay sees it: a Unix socket, or TLS over TCP.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "support/result.h"

namespace caretd::daemon {

/// Non-blocking once it is connected. Used by one thread.
class Stream {
 public:
  virtual ~Stream() = default;

  /// For poll().
  [[nodiscard]] virtual int descriptor() const = 0;
  /// Poll for output as well, although nothing is queued (TLS wants to write in order to read).
  [[nodiscard]] virtual bool wants_to_write() const { return false; }

  enum class Outcome : unsigned char { done, would_block, closed };
  struct Transfer {
    Outcome outcome = Outcome::done;
    std::size_t bytes = 0;
  };
  [[nodiscard]] virtual Transfer read(std::span<char> into) = 0;
  [[nodiscard]] virtual Transfer write(std::span<const char> from) = 0;
  /// Tells the peer that nothing more will be written; what it still sends can be read.
  virtual void finish_writing() = 0;
};

/// ErrorKind::not_found when nothing listens there, ErrorKind::io when the peer is another user's
/// process or the system refuses.
[[nodiscard]] Result<std::unique_ptr<Stream>> connect_unix(const std::filesystem::path& socket);

/// How to reach a daemon on another machine.
struct RemoteDaemon {
  std::string host;
  std::string port;
  std::string token;
  std::filesystem::path ca_file;  ///< empty: the system's certificates
  bool tls = true;                ///< false: plain TCP, for loopback and --insecure
};
/// "host:port" or "[ipv6]:port".
[[nodiscard]] Result<RemoteDaemon> parse_remote_daemon(const std::string& address);

/// Connects and verifies the certificate against the host name.
[[nodiscard]] Result<std::unique_ptr<Stream>> connect_tcp(const RemoteDaemon& daemon);

/// Writes `line` (with its terminator) and reads the peer's line, both within `timeout`. Reads no
/// byte beyond the line. ErrorKind::not_found when the peer closes instead of answering.
[[nodiscard]] Result<std::string> exchange_lines(Stream& stream, const std::string& line,
                                                 std::chrono::milliseconds timeout);

}  // namespace caretd::daemon
