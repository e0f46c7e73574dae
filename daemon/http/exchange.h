// A request and the reply it gets, without a word about sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

namespace caretd::daemon::api {

/// A request whose header and body have arrived and whose key was checked.
struct Request {
  std::string method;
  std::string path;  ///< without the query
  std::string body;
  std::string priority;          ///< of the header X-Caretd-Priority; may be empty
  std::uint64_t connection = 0;  ///< unique in the process: a session of the scheduler
};

/// Where the reply to one request goes: either respond(), or events and their end. Thread-safe. A
/// reply that is dropped before its end closes the connection.
class Reply {
 public:
  virtual ~Reply() = default;

  /// The whole reply at once.
  virtual void respond(int status, std::string_view content_type, std::string body,
                       int retry_after_s = 0) = 0;

  /// One server-sent event; the first one starts the stream. False when nobody takes it any more:
  /// the client is gone, or reads so slowly that its bound of unsent bytes is reached.
  [[nodiscard]] virtual bool send_event(std::string_view data) = 0;
  /// From the second event on they may wait some milliseconds for those of others.
  virtual void gather_events() = 0;
  virtual void end_events() = 0;

  /// Stops when the client is gone.
  [[nodiscard]] virtual std::stop_token gone() const = 0;
};

/// What an HTTP server serves. Called on its I/O thread; must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual void handle(Request request, std::shared_ptr<Reply> reply) = 0;
  /// A reply began, errors included that never reached handle(). For statistics.
  virtual void responded(const std::string& path, int status) = 0;
  /// So many connections are open now.
  virtual void connections_changed(std::size_t /*count*/) {}
};

}  // namespace caretd::daemon::api
