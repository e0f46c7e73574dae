// The one answer to one request.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "lsp/protocol/errors.h"
#include "lsp/protocol/json.h"
#include "lsp/protocol/message.h"
#include "support/clock.h"

namespace caretd::lsp {

class Connection;

/// Answers a request exactly once: the first call counts, and a Reply that is destroyed without
/// one answers 'internal error'. Movable; usable on any thread, also when the connection is gone.
class Reply {
 public:
  Reply() = default;
  Reply(std::weak_ptr<Connection> connection, RequestId id, std::string method, TimePoint received,
        std::stop_token cancelled)
      : connection_(std::move(connection)),
        id_(std::move(id)),
        method_(std::move(method)),
        received_(received),
        cancelled_(std::move(cancelled)),
        open_(true) {}
  Reply(Reply&& other) noexcept { *this = std::move(other); }
  Reply& operator=(Reply&& other) noexcept;
  ~Reply();

  /// `value` is anything that converts to Json.
  template <typename T>
  void result(const T& value) {
    send_result(Json(value));
  }
  void error(ResponseError error);
  void error(ErrorCode code, std::string message) { this->error({code, std::move(message)}); }

  /// Stopped by $/cancelRequest and by the end of the session. The request still wants its answer.
  [[nodiscard]] const std::stop_token& cancelled() const { return cancelled_; }
  [[nodiscard]] TimePoint received() const { return received_; }
  /// False once answered.
  explicit operator bool() const { return open_; }

 private:
  void send_result(Json result);

  std::weak_ptr<Connection> connection_;
  RequestId id_;
  std::string method_;
  TimePoint received_;
  std::stop_token cancelled_;
  bool open_ = false;
};

}  // namespace caretd::lsp
