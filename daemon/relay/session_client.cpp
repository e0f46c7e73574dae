#include "daemon/relay/session_client.h"

#include <array>
#include <cerrno>
#include <utility>

#include <poll.h>

namespace caretd::daemon {

namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{64} << 10;

lsp::ResponseError lost_daemon() {
  return {lsp::ErrorCode::request_failed, "the daemon ended before it had answered"};
}

/// Whether the interruption came, where it is waited for; returns as well when the stream is ready.
bool wait_interruptibly(const Stream& stream, bool to_write, int interruption) {
  const bool writes = to_write || stream.wants_to_write();
  std::array<pollfd, 2> entries{{
      {stream.descriptor(), static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN), 0},
      {interruption, POLLIN, 0},
  }};
  while (poll(entries.data(), entries.size(), -1) < 0 && errno == EINTR) {
  }
  return entries[1].revents != 0;
}

}  // namespace

SessionClient::SessionClient(std::unique_ptr<Stream> stream, OnNotification on_notification)
    : stream_(std::move(stream)), on_notification_(std::move(on_notification)) {}

void SessionClient::queue(const lsp::Json& message) {
  unsent_ += lsp::frame(lsp::to_string(message));
}

void SessionClient::notify(std::string_view method, lsp::Json params) {
  queue(lsp::make_notification(method, std::move(params)));
}

tl::expected<lsp::Json, lsp::ResponseError> SessionClient::request(
    std::string_view method, lsp::Json params, const Interruption& interruption) {
  const std::int64_t id = ++last_id_;
  queue(lsp::make_request(id, method, std::move(params)));
  int interrupting = interruption.descriptor;
  while (true) {
    if (wait_interruptibly(*stream_, !unsent_.empty(), interrupting)) {
      interrupting = -1;
      interruption.taken();
      notify("$/cancelRequest", {{"id", id}});
    }
    const bool open = exchange();
    while (auto response = next_response()) {
      if (response->id != lsp::RequestId(id)) continue;
      if (response->error) return tl::unexpected(*std::move(response->error));
      return std::move(response->result);
    }
    if (!open) return tl::unexpected(lost_daemon());
  }
}

/// Writes and reads what is possible without waiting; false when the daemon is gone.
bool SessionClient::exchange() {
  while (!unsent_.empty()) {
    const auto sent = stream_->write(unsent_);
    if (sent.outcome == Stream::Outcome::closed) return false;
    if (sent.outcome == Stream::Outcome::would_block) break;
    unsent_.erase(0, sent.bytes);
  }
  std::array<char, kBytesAtOnce> buffer{};
  while (true) {
    const auto got = stream_->read(buffer);
    if (got.outcome == Stream::Outcome::would_block) return true;
    if (got.outcome == Stream::Outcome::closed) return false;
    frames_.push({buffer.data(), got.bytes});
  }
}

/// Handles what has arrived up to a response.
std::optional<lsp::ResponseMessage> SessionClient::next_response() {
  while (auto event = frames_.next()) {
    const auto* const body = std::get_if<std::string>(&*event);
    auto json = body != nullptr ? lsp::parse_json(*body) : lsp::parse_json("null");
    if (!json) continue;
    lsp::Message message = lsp::classify(*std::move(json));
    if (auto* const response = std::get_if<lsp::ResponseMessage>(&message)) {
      return std::move(*response);
    }
    if (const auto* const told = std::get_if<lsp::NotificationMessage>(&message)) {
      on_notification_(told->method, told->params);
    } else if (const auto* const asked = std::get_if<lsp::RequestMessage>(&message)) {
      queue(lsp::make_error_response(lsp::to_json_value(asked->id),
                                     {lsp::ErrorCode::method_not_found, "not known here"}));
    }
  }
  return std::nullopt;
}

}  // namespace caretd::daemon
