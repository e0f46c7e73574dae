// HTTP requests to another server, many at once on one thread (libcurl's multi interface).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/clock.h"

namespace caretd::daemon {

struct ClientRequest {
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  std::string body;                  ///< empty: GET, else POST
};

/// How a request ended.
struct ClientOutcome {
  int status = 0;        ///< of HTTP; 0 where no reply came
  std::string failure;   ///< empty: the reply came to its end
  bool dropped = false;  ///< the connection broke or was closed early: worth another try
};

/// Hears of one request, on the client's thread.
class ClientListener {
 public:
  virtual ~ClientListener() = default;
  /// A piece of the body. False ends the request and closes its connection; on_end() follows.
  [[nodiscard]] virtual bool on_body(int status, std::string_view bytes) = 0;
  virtual void on_end(const ClientOutcome& outcome) = 0;
};

struct ClientOptions {
  std::string ca_file;  ///< empty: the system's certificates
  std::chrono::milliseconds connect_time{10'000};
  std::chrono::seconds silence_time{30};  ///< without a byte
};

/// Certificates are checked; proxies are taken from http_proxy, https_proxy, all_proxy and
/// no_proxy; connections are kept for the next request.
class HttpClient {
 public:
  using Id = std::uint64_t;
  /// `each_round` is called on the client's thread before it waits, and says for how long at most.
  [[nodiscard]] static std::unique_ptr<HttpClient> start(
      const ClientOptions& options, std::function<std::chrono::milliseconds()> each_round);
  /// Ends the thread. Requests under way are forgotten: their listeners hear nothing more.
  virtual ~HttpClient() = default;

  /// Runs `task` on the client's thread. Any thread.
  virtual void post(std::function<void()> task) = 0;
  /// Makes the thread look at each_round again. Any thread.
  virtual void wake() = 0;

  // On the client's thread, but not from within a listener's on_body().
  /// `fresh`: on a new connection, whatever is kept.
  [[nodiscard]] virtual Id send(ClientRequest request, std::shared_ptr<ClientListener> listener,
                                bool fresh) = 0;
  /// Closes the connection of a request; its listener hears nothing more.
  virtual void abandon(Id id) = 0;
};

}  // namespace caretd::daemon
