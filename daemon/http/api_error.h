// Errors as OpenAI's API words them: a status and {"error": {message, type, param, code}}.
// https://platform.openai.com/docs/guides/error-codes
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "support/result.h"

namespace caretd::daemon::api {

struct ApiError {
  int status = 500;     ///< of HTTP
  std::string message;  ///< a sentence that says what to do
  std::string type;     ///< "invalid_request_error", "server_error", ...
  std::string code;     ///< for programs; empty: null
  std::string param;    ///< the field at fault; empty: null
  /// The client may try again after so many seconds (Retry-After); 0 says nothing.
  int retry_after_s = 0;
};

template <typename T>
using Parsed = tl::expected<T, ApiError>;

/// 400 for a field whose value cannot be honoured.
[[nodiscard]] ApiError invalid_field(std::string param, std::string message);
/// 400 for a field that is understood and not offered.
[[nodiscard]] ApiError unsupported_field(std::string param, std::string message);
/// 400 for a body that is not JSON or of another shape; `fault` is "path: what was expected".
[[nodiscard]] ApiError malformed(const std::string& fault);
/// What an engine's failure means to a client.
[[nodiscard]] ApiError to_api_error(const Error& error);
/// For failures before a request was understood (401, 404, 405, 408, 413, 431, 503 ...).
[[nodiscard]] ApiError http_error(int status, std::string message, std::string code);

/// The JSON text.
[[nodiscard]] std::string to_body(const ApiError& error);

}  // namespace caretd::daemon::api
