// The client's end of a language server session with the daemon, for commands that ask one thing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/relay/stream.h"
#include "lsp/protocol/framing.h"
#include "lsp/protocol/message.h"

namespace caretd::daemon {

/// What withdraws a request under way: a descriptor that becomes readable, a signalfd(2) for
/// example. `taken` is called when it does.
struct Interruption {
  int descriptor = -1;
  std::function<void()> taken;
};

/// Used by one thread. Requests of the server are answered with method-not-found: initialize with
/// no capabilities, so that it makes none.
class SessionClient {
 public:
  using OnNotification = std::function<void(const std::string& method, const lsp::Json& params)>;

  /// `stream` is connected and greeted for a session.
  SessionClient(std::unique_ptr<Stream> stream, OnNotification on_notification);

  /// Sends a request and hears notifications until it is answered; blocks. An interruption cancels
  /// the request, whose answer is then waited for. A daemon that ends answers with request_failed.
  [[nodiscard]] tl::expected<lsp::Json, lsp::ResponseError> request(
      std::string_view method, lsp::Json params, const Interruption& interruption = {});
  /// Sent with the next request.
  void notify(std::string_view method, lsp::Json params);

 private:
  void queue(const lsp::Json& message);
  [[nodiscard]] bool exchange();
  [[nodiscard]] std::optional<lsp::ResponseMessage> next_response();

  const std::unique_ptr<Stream> stream_;
  const OnNotification on_notification_;
  lsp::FrameReader frames_;
  std::string unsent_;
  std::int64_t last_id_ = 0;
};

}  // namespace caretd::daemon
