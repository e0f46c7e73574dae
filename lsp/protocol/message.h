// JSON-RPC 2.0 messages as the base protocol uses them: requests, notifications, responses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "lsp/protocol/errors.h"
#include "lsp/protocol/json.h"

namespace caretd::lsp {

using RequestId = std::variant<std::int64_t, std::string>;
[[nodiscard]] Json to_json_value(const RequestId& id);
/// Nothing for what is no id: null, a fraction, an object.
[[nodiscard]] std::optional<RequestId> read_request_id(const Json& json);

struct RequestMessage {
  RequestId id;
  std::string method;
  Json params;  ///< null where absent
};

struct NotificationMessage {
  std::string method;
  Json params;
};

struct ResponseMessage {
  RequestId id;
  Json result;
  std::optional<ResponseError> error;
};

/// Valid JSON that is no message, and the error it is answered with.
struct InvalidMessage {
  Json id;  ///< null where the message has none that could be read
  ResponseError error;
};

using Message = std::variant<RequestMessage, NotificationMessage, ResponseMessage, InvalidMessage>;

/// Tells what a parsed body is. Batches are no part of the base protocol and refused.
[[nodiscard]] Message classify(Json json);

[[nodiscard]] Json make_request(const RequestId& id, std::string_view method, Json params);
[[nodiscard]] Json make_notification(std::string_view method, Json params);
[[nodiscard]] Json make_response(Json id, Json result);
[[nodiscard]] Json make_error_response(Json id, const ResponseError& error);

}  // namespace caretd::lsp
