#include "daemon/http/api_error.h"

#include <utility>

#include "lsp/protocol/json.h"

namespace caretd::daemon::api {

namespace {

constexpr int kRetryAfterSeconds = 1;

lsp::Json or_null(const std::string& text) {
  return text.empty() ? lsp::Json() : lsp::Json(text);
}

std::string type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

ApiError invalid_field(std::string param, std::string message) {
  return {400, std::move(message), type_of(400), "invalid_value", std::move(param)};
}

ApiError unsupported_field(std::string param, std::string message) {
  return {400, std::move(message), type_of(400), "unsupported_value", std::move(param)};
}

ApiError malformed(const std::string& fault) {
  const std::size_t colon = fault.find(": ");
  const std::string param = colon == std::string::npos ? std::string() : fault.substr(0, colon);
  return {400, "The request cannot be read: " + fault + ".", type_of(400), "invalid_type", param};
}

ApiError to_api_error(const Error& error) {
  switch (error.kind) {
    case ErrorKind::invalid_input:
    case ErrorKind::unsupported:
      return {400, error.message, type_of(400), "invalid_value", {}};
    case ErrorKind::unavailable:
    case ErrorKind::out_of_memory:
      return {503, error.message, type_of(503), "unavailable", {}, kRetryAfterSeconds};
    default:
      return {500, error.message, type_of(500), "internal_error", {}};
  }
}

ApiError http_error(int status, std::string message, std::string code) {
  return {status,
          std::move(message),
          type_of(status),
          std::move(code),
          {},
          status == 503 ? kRetryAfterSeconds : 0};
}

std::string to_body(const ApiError& error) {
  return lsp::to_string({{"error",
                          {{"message", error.message},
                           {"type", error.type},
                           {"param", or_null(error.param)},
                           {"code", or_null(error.code)}}}});
}

}  // namespace caretd::daemon::api
