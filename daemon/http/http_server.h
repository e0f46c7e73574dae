// The HTTP listener: accepts connections and serves them on a thread of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "daemon/http/exchange.h"
#include "daemon/http/http_limits.h"
#include "support/clock.h"
#include "support/log.h"
#include "support/result.h"

namespace caretd::daemon {

struct HttpServerOptions {
  std::string address = "127.0.0.1:8012";  ///< HOST:PORT; port 0 takes a free one
  std::string certificate;                 ///< PEM; empty: no TLS
  std::string key;                         ///< PEM, of the certificate
  std::string api_key;                     ///< empty: none is asked for
  bool insecure = false;                   ///< no TLS although other machines reach the address
  HttpLimits limits;
};

/// Listens from start() to its destruction. Off the loopback interface it needs an API key and,
/// unless `insecure`, a certificate.
class HttpServer {
 public:
  /// `handler` and `clock` must outlive the server.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options,
                                                                 api::Handler& handler,
                                                                 const Clock& clock, Logger log);
  virtual ~HttpServer() = default;

  /// The one that was taken, where the options said 0.
  [[nodiscard]] virtual std::uint16_t port() const = 0;

  /// Takes no more connections, waits so long for replies under way, closes everything and waits
  /// until the handler has let go of the replies that were cut off. Blocks.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace caretd::daemon
