// From bytes to HTTP/1.1 requests, within limits, however the bytes are cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "daemon/http/api_error.h"
#include "daemon/http/http_limits.h"

namespace caretd::daemon {

/// One request after the other out of the bytes of a connection (RFC 9112; Beast does the parsing).
class RequestReader {
 public:
  using Message = boost::beast::http::request<boost::beast::http::string_body>;

  enum class Step : std::uint8_t {
    need_more,  ///< bytes
    header,     ///< the header is there, its body may not be; told once for each request
    complete,   ///< to be taken with release()
    refused     ///< see refusal(); nothing more can be read
  };

  /// `limits` outlive the reader.
  explicit RequestReader(const HttpLimits& limits) : limits_(limits) {}

  void take(std::string_view bytes) { bytes_ += bytes; }
  /// Of what was taken and not read yet.
  [[nodiscard]] std::size_t unread() const { return bytes_.size(); }
  void drop_unread() { bytes_.clear(); }

  [[nodiscard]] Step next();

  /// A request has begun and is not complete.
  [[nodiscard]] bool in_request() const { return parser_.has_value(); }

  // After Step::header, until release().
  [[nodiscard]] const Message& message() const { return parser_->get(); }
  [[nodiscard]] bool keep_alive() const { return parser_->keep_alive(); }
  [[nodiscard]] bool has_body_to_come() const { return !parser_->is_done(); }

  /// The complete request; the next one begins.
  [[nodiscard]] Message release();
  [[nodiscard]] const api::ApiError& refusal() const { return refusal_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void read();

  const HttpLimits& limits_;
  std::string bytes_;
  std::optional<Parser> parser_;
  boost::system::error_code failure_;
  bool header_told_ = false;
  api::ApiError refusal_;
};

}  // namespace caretd::daemon
