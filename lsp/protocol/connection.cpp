#include "lsp/protocol/connection.h"

#include <exception>
#include <utility>

namespace caretd::lsp {

Connection::Connection(std::shared_ptr<Transport> transport, std::shared_ptr<Executor> strand,
                       const Clock& clock, Logger log, ConnectionLimits limits)
    : transport_(std::move(transport)),
      strand_(std::move(strand)),
      clock_(clock),
      log_(std::move(log)),
      limits_(limits),
      frames_(limits.frame) {}

void Connection::receive(std::string_view bytes) {
  frames_.push(bytes);
  while (std::optional<FrameEvent> event = frames_.next()) {
    if (auto* fault = std::get_if<FrameFault>(&*event)) {
      handle(InvalidMessage{nullptr, {ErrorCode::parse_error, std::move(fault->message)}});
      continue;
    }
    std::string& body = std::get<std::string>(*event);
    count_queued(body.size());
    strand_->post([self = shared_from_this(), body = std::move(body)] {
      self->handle_body(body);
      self->count_handled(body.size());
    });
  }
}

void Connection::handle_body(const std::string& body) {
  Result<Json> json = parse_json(body);
  if (!json) {
    return handle(InvalidMessage{nullptr, {ErrorCode::parse_error, json.error().message}});
  }
  // The net under the handlers: an exception costs its request an 'internal error' (from the
  // dropped Reply) and nothing else.
  try {
    std::visit([this](auto&& message) { handle(std::forward<decltype(message)>(message)); },
               classify(*std::move(json)));
  } catch (const std::exception& exception) {
    log_->error("a handler failed: {}", exception.what());
  }
}

std::optional<ResponseError> Connection::admit(const RequestId& id, std::stop_token& cancelled) {
  const std::lock_guard lock(mutex_);
  if (open_requests_.size() >= limits_.open_requests) {
    return ResponseError{ErrorCode::request_failed,
                         "Too many requests are waiting for an answer; try again later."};
  }
  const auto [entry, is_new] = open_requests_.try_emplace(id);
  if (!is_new) {
    return ResponseError{ErrorCode::invalid_request, "A request with this id is still open."};
  }
  cancelled = entry->second.get_token();
  return std::nullopt;
}

void Connection::handle(RequestMessage message) {
  std::stop_token cancelled;
  if (std::optional<ResponseError> refused = admit(message.id, cancelled)) {
    return send(make_error_response(to_json_value(message.id), *refused));
  }
  Reply reply(weak_from_this(), message.id, message.method, clock_.now(), std::move(cancelled));
  if (const auto handler = handler_.lock()) {
    handler->on_request(message.method, message.params, std::move(reply));
  }
}

void Connection::handle(NotificationMessage message) {
  if (message.method == "$/cancelRequest") return cancel(message.params);
  if (const auto handler = handler_.lock()) {
    handler->on_notification(message.method, message.params);
  }
}

void Connection::handle(ResponseMessage message) {
  ResponseHandler on_response;
  {
    const std::lock_guard lock(mutex_);
    const auto call = calls_.find(message.id);
    if (call == calls_.end()) {
      log_->warn("a response to a request that was never made was ignored");
      return;
    }
    on_response = std::move(call->second);
    calls_.erase(call);
  }
  if (message.error) {
    on_response(fail(ErrorKind::unavailable, std::move(message.error->message)));
  } else {
    on_response(std::move(message.result));
  }
}

void Connection::handle(InvalidMessage message) {
  log_->warn("invalid message: {}", message.error.message);
  send(make_error_response(std::move(message.id), message.error));
}

void Connection::cancel(const Json& params) {
  const std::optional<RequestId> id =
      params.is_object() ? read_request_id(params.value("id", Json())) : std::nullopt;
  if (!id) return;
  std::stop_source source(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    const auto request = open_requests_.find(*id);
    if (request != open_requests_.end()) source = request->second;
  }
  source.request_stop();  // outside of the lock: callbacks may answer
}

void Connection::answer(const RequestId& id, const std::string& method, TimePoint received,
                        const Json& json) {
  {
    const std::lock_guard lock(mutex_);
    open_requests_.erase(id);
  }
  log_->debug("{} answered after {:.1f} ms{}", method, to_milliseconds(clock_.now() - received),
              json.contains("error") ? " with an error" : "");
  send(json);
}

void Connection::notify(std::string_view method, Json params) {
  send(make_notification(method, std::move(params)));
}

void Connection::call(std::string_view method, Json params, ResponseHandler on_response) {
  RequestId id;
  {
    const std::lock_guard lock(mutex_);
    if (shut_) return;
    id = next_id_++;
    calls_[id] = std::move(on_response);
  }
  send(make_request(id, method, std::move(params)));
}

void Connection::send(const Json& json) {
  const std::string bytes = frame(to_string(json));
  const std::lock_guard lock(mutex_);
  if (!shut_) transport_->write(bytes);
}

bool Connection::has_unanswered() const {
  const std::lock_guard lock(mutex_);
  return queued_bytes_ > 0 || !open_requests_.empty();
}

void Connection::shut() {
  std::map<RequestId, std::stop_source> open;
  std::map<RequestId, ResponseHandler> calls;
  {
    const std::lock_guard lock(mutex_);
    shut_ = true;
    open.swap(open_requests_);
    calls.swap(calls_);
  }
  for (auto& [id, source] : open) source.request_stop();
}

void Connection::close() {
  shut();
  transport_->close();
}

void Connection::count_queued(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  queued_bytes_ += bytes;
  if (queued_bytes_ <= limits_.queued_bytes || paused_) return;
  paused_ = true;
  transport_->pause_reading();
}

void Connection::count_handled(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  queued_bytes_ -= bytes;
  if (!paused_ || queued_bytes_ > limits_.queued_bytes / 2) return;
  paused_ = false;
  transport_->resume_reading();
}

}  // namespace caretd::lsp
