// The HTTP API as a part of a process: server, endpoints and the threads between them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "daemon/config/settings.h"
#include "daemon/engines/engine_provider.h"
#include "daemon/http/http_server.h"
#include "support/clock.h"
#include "support/log.h"
#include "support/result.h"

namespace caretd::daemon {

/// What the settings say about the HTTP server, its API key read from where it is kept. `insecure`
/// is the command line's.
[[nodiscard]] Result<HttpServerOptions> http_server_options(const HttpSettings& settings,
                                                            bool insecure);

class HttpService {
 public:
  /// `engines` gives those of the moment and `on_activity` hears of every request that needs
  /// one; both are called on several threads. `clock` must outlive the service.
  [[nodiscard]] static Result<std::unique_ptr<HttpService>> start(
      const HttpServerOptions& options, std::function<SessionEngines()> engines,
      std::function<void()> on_activity, const Clock& clock, Logger log);
  virtual ~HttpService() = default;

  /// Where clients find it, with the port that was taken: "http://127.0.0.1:8012".
  [[nodiscard]] virtual std::string url() const = 0;
  /// See HttpServer::stop().
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace caretd::daemon
