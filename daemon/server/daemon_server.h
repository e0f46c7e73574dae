// The daemon's listeners and the sessions behind them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/config/settings.h"
#include "daemon/process/runtime_folder.h"
#include "daemon/server/connection.h"
#include "lsp/protocol/json.h"
#include "lsp/server.h"
#include "support/clock.h"
#include "support/log.h"

namespace caretd::daemon {

struct ServerOptions {
  std::size_t max_sessions = 64;
  /// How long a stopping daemon waits for answers that are under way.
  std::chrono::milliseconds stop_time{2000};
  std::string token;  ///< what peers on TCP must present; they are refused while it is empty
};

/// What the server needs from the rest of the process.
struct ServerServices {
  /// For one session; the hello says what its relay was given.
  std::function<lsp::SessionServices(const Hello& hello)> session_services;
  /// Bytes came from some session. I/O thread; quick.
  std::function<void()> on_activity;
  /// Adds to the answer of `caretd daemon status`; I/O thread.
  std::function<void(lsp::Json& status)> describe;
  /// The last session ended, or the first began. I/O thread.
  std::function<void(std::size_t sessions)> on_session_count;
};

/// All member functions belong to the I/O thread, the one that runs `io`, or to the time before.
class DaemonServer {
 public:
  DaemonServer(boost::asio::io_context& io, ServerOptions options, ServerServices services,
               const Clock& clock, Logger log);
  ~DaemonServer();
  DaemonServer(const DaemonServer&) = delete;
  DaemonServer& operator=(const DaemonServer&) = delete;

  /// Replaces a socket that a dead daemon left. The caller holds the daemon lock.
  [[nodiscard]] Result<void> listen_on(const std::filesystem::path& socket);
  /// A listening Unix socket from systemd, which keeps the file.
  [[nodiscard]] Result<void> adopt_listener(int fd);
  /// TCP knows no users, so this needs a token; off the loopback interface, and unless `insecure`,
  /// a certificate as well.
  [[nodiscard]] Result<void> listen_on(const ListenSettings& settings, bool insecure);

  /// Stops listening, lets what is under way be answered, closes every session and ends io.run().
  void stop();

  /// The configuration changed: sessions look at it again.
  void settings_changed();

  [[nodiscard]] std::size_t session_count() const { return sessions_.size(); }

 private:
  struct SessionEntry {
    std::uint64_t number = 0;
    std::shared_ptr<Connection> connection;
    std::unique_ptr<lsp::Session> session;
    TimePoint since;
  };

  void accept_local();
  void accept_remote();
  void accept_later(void (DaemonServer::*accept)());
  void serve(const std::shared_ptr<Connection>& connection, bool needs_token);
  void on_hello(const std::shared_ptr<Connection>& connection, const Hello& hello,
                bool needs_token);
  void start_session(const std::shared_ptr<Connection>& connection, const Hello& hello);
  void forget_session(std::uint64_t number);
  void send_status(const std::shared_ptr<Connection>& connection);
  [[nodiscard]] lsp::Json status() const;
  void wait_for_answers();
  void close_everything();
  void wait_until_sent(TimePoint until);

  boost::asio::io_context& io_;
  const ServerOptions options_;
  const ServerServices services_;
  const Clock& clock_;
  const Logger log_;
  const TimePoint started_;
  boost::asio::local::stream_protocol::acceptor local_;
  boost::asio::ip::tcp::acceptor remote_;
  std::optional<boost::asio::ssl::context> tls_;
  boost::asio::steady_timer stop_timer_;
  std::filesystem::path socket_file_;  // ours to remove; empty for systemd's
  std::list<SessionEntry> sessions_;
  std::vector<std::shared_ptr<Connection>> waiting_for_stop_;
  std::uint64_t next_session_ = 1;
  std::optional<TimePoint> stopping_since_;
};

}  // namespace caretd::daemon
