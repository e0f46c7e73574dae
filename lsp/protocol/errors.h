// Error codes of JSON-RPC 2.0 and of the Language Server Protocol 3.18 ("Base Protocol").
#pragma once

#include <string>

#include "support/result.h"

namespace caretd::lsp {

enum class ErrorCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  server_not_initialized = -32002,
  request_failed = -32803,
  server_cancelled = -32802,
  content_modified = -32801,
  request_cancelled = -32800
};

/// What a request is answered with instead of a result.
struct ResponseError {
  ErrorCode code = ErrorCode::internal_error;
  std::string message;
};

/// The code a client expects for a failure of ours.
[[nodiscard]] inline ErrorCode error_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_input:
      return ErrorCode::invalid_params;
    case ErrorKind::cancelled:
      return ErrorCode::request_cancelled;
    case ErrorKind::internal:
      return ErrorCode::internal_error;
    default:
      return ErrorCode::request_failed;
  }
}

}  // namespace caretd::lsp
