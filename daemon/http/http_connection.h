// One connection of an HTTP client: requests in, replies out, one after another.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/http/byte_stream.h"
#include "daemon/http/event_pacer.h"
#include "daemon/http/exchange.h"
#include "daemon/http/http_limits.h"
#include "support/clock.h"

namespace caretd::daemon {

/// What connections share; outlives them.
struct HttpConnectionServices {
  const HttpLimits& limits;
  const std::string& api_key;  ///< empty: none is asked for
  api::Handler& handler;
  const Clock& clock;
  EventPacer& pacer;
  std::atomic<int>& live_replies;  ///< replies that somebody holds, connections with them
};

/// Everything belongs to the I/O thread.
class HttpConnection {
 public:
  virtual ~HttpConnection() = default;

  virtual void start() = 0;
  /// Answers "503 Service Unavailable" and closes.
  virtual void turn_away(const std::string& why) = 0;
  /// Closes or answers 408 when the peer took too long. To be called a few times a second.
  virtual void check_deadline(TimePoint now) = 0;
  /// Since when nothing has been asked; nothing while a request arrives or is answered.
  [[nodiscard]] virtual std::optional<TimePoint> idle_since() const = 0;
  /// A request is being answered.
  [[nodiscard]] virtual bool busy() const = 0;
  virtual void close() = 0;
};

/// `number` is unique in the process. `closed` is called once, in the end.
[[nodiscard]] std::shared_ptr<HttpConnection> make_http_connection(
    std::unique_ptr<ByteStream> stream, std::uint64_t number,
    const HttpConnectionServices& services, std::function<void()> closed);

}  // namespace caretd::daemon
