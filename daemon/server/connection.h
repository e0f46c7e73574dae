// One accepted connection: its handshake, then bytes for whoever the handshake asked for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>

#include "daemon/process/handshake.h"
#include "lsp/protocol/transport.h"

namespace caretd::daemon {

/// What a connection tells its server, all on the I/O thread.
struct ConnectionEvents {
  /// A well-formed hello arrived. Answer with Connection::welcome() or refuse().
  std::function<void(const Hello& hello)> on_hello;
  std::function<void(std::string_view bytes)> on_bytes;
  /// The peer is gone, or sent its last. Called once.
  std::function<void()> on_end;
  /// The connection is closed and may be forgotten. Called once, after on_end.
  std::function<void()> on_closed;
};

/// A peer that is slow to shake hands or does not read loses its connection; nobody else notices.
class Connection : public lsp::Transport {
 public:
  /// Bytes that a peer may leave unread.
  static constexpr std::size_t kMostUnsentBytes = std::size_t{64} << 20;

  /// Starts the handshake. I/O thread.
  virtual void start(ConnectionEvents events) = 0;
  /// Answers the hello and lets bytes flow to on_bytes. I/O thread.
  virtual void welcome(const Welcome& welcome) = 0;
  /// Answers the hello with an error and closes. I/O thread.
  virtual void refuse(const std::string& reason) = 0;
  /// Replaces what it tells, once the hello said what it is for. I/O thread.
  virtual void set_events(ConnectionEvents events) = 0;
  /// Tells nothing any more. I/O thread.
  void forget_events() { set_events({}); }
  /// Closes at once, unsent bytes and all. I/O thread.
  virtual void abort() = 0;
};

[[nodiscard]] std::shared_ptr<Connection> make_connection(
    boost::asio::local::stream_protocol::socket socket);
[[nodiscard]] std::shared_ptr<Connection> make_connection(boost::asio::ip::tcp::socket socket);
/// Shakes hands in TLS first. `context` must outlive the connection.
[[nodiscard]] std::shared_ptr<Connection> make_connection(boost::asio::ip::tcp::socket socket,
                                                          boost::asio::ssl::context& context);

}  // namespace caretd::daemon
