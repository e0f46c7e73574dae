#include "lsp/protocol/reply.h"

#include "lsp/protocol/connection.h"

namespace caretd::lsp {

Reply& Reply::operator=(Reply&& other) noexcept {
  std::swap(connection_, other.connection_);
  std::swap(id_, other.id_);
  std::swap(method_, other.method_);
  std::swap(received_, other.received_);
  std::swap(cancelled_, other.cancelled_);
  std::swap(open_, other.open_);
  return *this;
}

Reply::~Reply() {
  if (open_) error(ErrorCode::internal_error, "The server dropped this request; please report it.");
}

void Reply::send_result(Json result) {
  if (!std::exchange(open_, false)) return;
  if (const auto connection = connection_.lock()) {
    connection->answer(id_, method_, received_,
                       make_response(to_json_value(id_), std::move(result)));
  }
}

void Reply::error(ResponseError error) {
  if (!std::exchange(open_, false)) return;
  if (const auto connection = connection_.lock()) {
    connection->answer(id_, method_, received_, make_error_response(to_json_value(id_), error));
  }
}

}  // namespace caretd::lsp
