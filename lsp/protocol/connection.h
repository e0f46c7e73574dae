// One JSON-RPC conversation: frames in, handlers called, answers and our own requests out.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "lsp/protocol/framing.h"
#include "lsp/protocol/message.h"
#include "lsp/protocol/reply.h"
#include "lsp/protocol/transport.h"
#include "support/clock.h"
#include "support/executor.h"
#include "support/log.h"

namespace caretd::lsp {

struct ConnectionLimits {
  FrameLimits frame;
  /// Requests of the client that are not answered yet; one more is refused.
  std::size_t open_requests = 256;
  /// Unhandled input above which the transport is asked to pause.
  std::size_t queued_bytes = std::size_t{16} << 20;
};

/// Who handles what arrives. Called on the connection's executor, in the order of arrival.
class MessageHandler {
 public:
  virtual ~MessageHandler() = default;
  virtual void on_request(const std::string& method, const Json& params, Reply reply) = 0;
  virtual void on_notification(const std::string& method, const Json& params) = 0;
};

/// `receive` and `end_of_input` are for the transport's thread; everything else is thread-safe.
/// Handlers run as tasks of `strand`, which must run them one at a time. $/cancelRequest is handled
/// here. Held by shared_ptr: tasks and replies outlive the session by a moment.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Transport> transport, std::shared_ptr<Executor> strand,
             const Clock& clock, Logger log, ConnectionLimits limits = {});

  /// Tasks hold the handler weakly: a session that is gone handles nothing more.
  void set_handler(std::weak_ptr<MessageHandler> handler) { handler_ = std::move(handler); }

  /// Bytes of the client in pieces of any size. Frames are cut here, everything else is posted.
  void receive(std::string_view bytes);

  void notify(std::string_view method, Json params);

  using ResponseHandler = std::function<void(Result<Json>)>;
  /// Sends a request to the client. `on_response` runs on the strand, exactly once unless the
  /// connection ends first.
  void call(std::string_view method, Json params, ResponseHandler on_response);

  /// Whether something that arrived is not handled yet, or a request not answered.
  [[nodiscard]] bool has_unanswered() const;

  /// Stops the token of every open request and forgets our own. Nothing is sent from now on.
  void shut();
  /// Sends what is queued and ends the transport, then as shut().
  void close();

 private:
  friend class Reply;
  void answer(const RequestId& id, const std::string& method, TimePoint received, const Json& json);

  void handle_body(const std::string& body);
  void handle(RequestMessage message);
  void handle(NotificationMessage message);
  void handle(ResponseMessage message);
  void handle(InvalidMessage message);
  void cancel(const Json& params);
  void send(const Json& json);
  void count_queued(std::size_t bytes);
  void count_handled(std::size_t bytes);
  [[nodiscard]] std::optional<ResponseError> admit(const RequestId& id, std::stop_token& cancelled);

  const std::shared_ptr<Transport> transport_;
  const std::shared_ptr<Executor> strand_;
  const Clock& clock_;
  const Logger log_;
  const ConnectionLimits limits_;
  std::weak_ptr<MessageHandler> handler_;
  FrameReader frames_;  // the transport's thread only

  mutable std::mutex mutex_;  // everything below
  bool shut_ = false;
  bool paused_ = false;
  std::size_t queued_bytes_ = 0;
  std::int64_t next_id_ = 1;
  std::map<RequestId, std::stop_source> open_requests_;
  std::map<RequestId, ResponseHandler> calls_;
};

}  // namespace caretd::lsp
