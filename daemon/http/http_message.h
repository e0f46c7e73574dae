// The bytes of HTTP/1.1 replies and what is decided from a request's header. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/http/api_error.h"

namespace caretd::daemon {

struct ResponseHead {
  int status = 200;
  std::string_view content_type;
  std::optional<std::size_t> length;  ///< absent: a stream of unknown length
  bool http_1_1 = true;               ///< of the request; a stream is chunked then
  bool keep_alive = true;
  int retry_after_s = 0;
};
/// Status line and fields, with the empty line behind them.
[[nodiscard]] std::string to_bytes(const ResponseHead& head);

/// `data` as one chunk; for HTTP/1.0 as it is.
[[nodiscard]] std::string chunk(std::string_view data, bool http_1_1);
/// The chunk that ends a stream; nothing for HTTP/1.0.
[[nodiscard]] std::string_view last_chunk(bool http_1_1);

/// The fields of a request that decide whether it may go on.
struct Credentials {
  std::string_view path;
  std::string_view authorization;
  std::string_view api_key;  ///< X-Api-Key
  std::string_view host;
  std::string_view origin;
};
/// With a key, everything but /health needs it. Without one the server is on the loopback interface
/// and everything a browser sends on behalf of another site is refused: a Host that is no loopback
/// name (DNS rebinding), an Origin that is another site's.
[[nodiscard]] std::optional<api::ApiError> check_credentials(const Credentials& credentials,
                                                             std::string_view required_key);

}  // namespace caretd::daemon
