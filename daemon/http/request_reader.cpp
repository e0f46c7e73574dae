#include "daemon/http/request_reader.h"

#include <utility>

#include <boost/asio/buffer.hpp>

namespace caretd::daemon {

namespace {

using HttpFailure = boost::beast::http::error;

api::ApiError refusal_for(const boost::system::error_code& failure) {
  if (failure == HttpFailure::header_limit) {
    return api::http_error(431, "The header is too large.", "header_too_large");
  }
  if (failure == HttpFailure::body_limit) {
    return api::http_error(413, "The body is larger than this server takes.", "body_too_large");
  }
  return api::http_error(400, "This is not HTTP/1.1: " + failure.message() + ".", "malformed_http");
}

}  // namespace

/// Feeds the parser until it is done, fails or wants more than is there.
void RequestReader::read() {
  while (!bytes_.empty() && !failure_ && !parser_->is_done()) {
    const std::size_t used = parser_->put(boost::asio::buffer(bytes_), failure_);
    bytes_.erase(0, used);
    if (used == 0) return;
  }
}

RequestReader::Step RequestReader::next() {
  if (!parser_) {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits_.max_header_bytes));
    parser_->body_limit(limits_.max_body_bytes);
    parser_->eager(true);
    header_told_ = false;
  }
  if (failure_ == HttpFailure::need_more) failure_ = {};
  read();
  if (!header_told_ && parser_->is_header_done()) {
    header_told_ = true;
    return Step::header;
  }
  if (failure_ && failure_ != HttpFailure::need_more) {
    refusal_ = refusal_for(failure_);
    return Step::refused;
  }
  return parser_->is_done() ? Step::complete : Step::need_more;
}

RequestReader::Message RequestReader::release() {
  Message message = parser_->release();
  parser_.reset();
  return message;
}

}  // namespace caretd::daemon
