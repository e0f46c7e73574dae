#include "daemon/http/http_connection.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <boost/beast/http/field.hpp>

#include "daemon/http/connection_reply.h"
#include "daemon/http/http_message.h"
#include "daemon/http/request_reader.h"

namespace caretd::daemon {

namespace {

namespace beast_http = boost::beast::http;

constexpr std::size_t kHttpReadBytes = std::size_t{16} << 10;
/// Bytes of following requests that are taken while one is being answered.
constexpr std::size_t kMostPipelined = std::size_t{64} << 10;

/// A request's way: idle -> head -> body -> busy -> idle, or from anywhere -> draining -> closed.
enum class Phase : std::uint8_t { idle, head, body, busy, draining, closed };

class ClientConnection final : public HttpConnection,
                               public ReplyWriter,
                               public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(std::unique_ptr<ByteStream> stream, std::uint64_t number,
                   const HttpConnectionServices& services, std::function<void()> closed)
      : stream_(std::move(stream)),
        number_(number),
        services_(services),
        closed_(std::move(closed)),
        reader_(services_.limits) {}

  void start() override;
  void turn_away(const std::string& why) override;
  void check_deadline(TimePoint now) override;
  [[nodiscard]] std::optional<TimePoint> idle_since() const override {
    return phase_ == Phase::idle ? std::optional(deadline_ - services_.limits.idle_time)
                                 : std::nullopt;
  }
  [[nodiscard]] bool busy() const override { return phase_ == Phase::busy; }
  void close() override;

  void respond(const std::shared_ptr<Outbox>& outbox, int status, std::string_view content_type,
               const std::string& body, int retry_after_s) override;
  void take_events(const std::shared_ptr<Outbox>& outbox) override;
  void reply_was_dropped(const std::shared_ptr<Outbox>& outbox) override;
  void post(std::function<void()> task) override { stream_->post(std::move(task)); }

 private:
  void enter(Phase phase);
  void read();
  void on_read(bool ok, std::size_t count);
  void parse();
  [[nodiscard]] bool accept_head();
  void dispatch();
  void refuse(const api::ApiError& error);
  void write(std::string bytes);
  void write_rest();
  void on_written(bool ok);
  void finish_exchange();

  const std::unique_ptr<ByteStream> stream_;
  const std::uint64_t number_;
  const HttpConnectionServices services_;
  std::function<void()> closed_;

  Phase phase_ = Phase::idle;
  TimePoint deadline_;
  bool reading_ = false;
  std::array<char, kHttpReadBytes> buffer_{};
  RequestReader reader_;

  std::shared_ptr<Outbox> outbox_;  ///< of the reply under way
  std::string asked_path_;          ///< of the request under way
  bool http_1_1_ = true;
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool streaming_ = false;
  bool reply_complete_ = false;

  std::string out_;          ///< to be written after what is being written
  std::string writing_;      ///< being written
  std::size_t written_ = 0;  ///< bytes of it that the stream took
  std::size_t event_bytes_out_ = 0;
  std::size_t event_bytes_writing_ = 0;
  TimePoint write_progress_;  ///< when it took the last of them
};

// ---- reading ----------------------------------------------------------------------------------

void ClientConnection::start() {
  enter(Phase::head);
  stream_->handshake([self = shared_from_this()](bool ok) {
    if (!ok) return self->close();
    self->enter(Phase::idle);
    self->read();
  });
}

void ClientConnection::enter(Phase phase) {
  phase_ = phase;
  const HttpLimits& limits = services_.limits;
  const TimePoint now = services_.clock.now();
  switch (phase) {
    case Phase::idle:
      deadline_ = now + limits.idle_time;
      break;
    case Phase::head:
      deadline_ = now + limits.header_time;
      break;
    case Phase::body:
      deadline_ = now + limits.body_time;
      break;
    case Phase::draining:
      deadline_ = now + limits.drain_time;
      break;
    case Phase::busy:
    case Phase::closed:
      deadline_ = TimePoint::max();
      break;
  }
}

void ClientConnection::read() {
  if (reading_ || phase_ == Phase::closed || reader_.unread() > kMostPipelined) return;
  reading_ = true;
  stream_->read_some(buffer_, [self = shared_from_this()](bool ok, std::size_t count) {
    self->on_read(ok, count);
  });
}

void ClientConnection::on_read(bool ok, std::size_t count) {
  reading_ = false;
  if (phase_ == Phase::closed) return;
  if (!ok) {
    // Whoever closed its side while the last bytes are on their way gets them.
    const bool only_writing = phase_ == Phase::busy && reply_complete_;
    keep_alive_ = false;
    if (!only_writing) close();
    return;
  }
  if (phase_ != Phase::draining) {
    reader_.take({buffer_.data(), count});
    parse();
  }
  read();
}

void ClientConnection::parse() {
  while (phase_ == Phase::idle || phase_ == Phase::head || phase_ == Phase::body) {
    if (phase_ == Phase::idle) {
      if (reader_.unread() == 0) return;
      enter(Phase::head);
    }
    switch (reader_.next()) {
      case RequestReader::Step::need_more:
        return;
      case RequestReader::Step::header:
        enter(Phase::body);
        if (!accept_head()) return;
        break;
      case RequestReader::Step::complete:
        return dispatch();
      case RequestReader::Step::refused:
        return refuse(reader_.refusal());
    }
  }
}

/// Decides by the header alone, before a body is taken. False when the request is refused.
bool ClientConnection::accept_head() {
  const auto& request = reader_.message();
  const auto field = [&request](auto name) {
    const auto value = request[name];
    return std::string_view(value.data(), value.size());
  };
  const auto target = request.target();
  asked_path_ = std::string(target.substr(0, target.find('?')));
  http_1_1_ = request.version() >= 11;
  keep_alive_ = reader_.keep_alive();
  head_only_ = request.method() == beast_http::verb::head;
  const Credentials credentials{asked_path_, field(beast_http::field::authorization),
                                field("X-Api-Key"), field(beast_http::field::host),
                                field(beast_http::field::origin)};
  if (const auto error = check_credentials(credentials, services_.api_key)) {
    refuse(*error);
    return false;
  }
  if (field(beast_http::field::expect) == "100-continue" && http_1_1_ &&
      reader_.has_body_to_come()) {
    write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  return true;
}

void ClientConnection::dispatch() {
  enter(Phase::busy);
  outbox_ = std::make_shared<Outbox>();
  streaming_ = false;
  reply_complete_ = false;
  auto message = reader_.release();
  const auto method = message.method_string();
  const auto priority = message["X-Caretd-Priority"];
  api::Request request{std::string(method), asked_path_, std::move(message.body()),
                       std::string(priority), number_};
  services_.handler.handle(
      std::move(request),
      std::make_shared<ConnectionReply>(shared_from_this(), outbox_, services_.pacer,
                                        services_.limits.max_unsent_bytes, services_.live_replies));
}

// ---- replying ---------------------------------------------------------------------------------

void ClientConnection::turn_away(const std::string& why) {
  refuse(api::http_error(503, why, "too_many_connections"));
  read();
}

/// For requests that are not taken. What the peer still sends is read and dropped for a while, or
/// the reset of the connection would take the reply with it.
void ClientConnection::refuse(const api::ApiError& error) {
  const std::string body = api::to_body(error);
  services_.handler.responded(asked_path_, error.status);
  keep_alive_ = false;
  write(
      to_bytes({error.status, "application/json", body.size(), true, false, error.retry_after_s}) +
      (head_only_ ? std::string() : body));
  reader_.drop_unread();
  enter(Phase::draining);
}

void ClientConnection::respond(const std::shared_ptr<Outbox>& outbox, int status,
                               std::string_view content_type, const std::string& body,
                               int retry_after_s) {
  if (outbox != outbox_ || phase_ != Phase::busy || streaming_) return;
  services_.handler.responded(asked_path_, status);
  reply_complete_ = true;
  std::string bytes =
      to_bytes({status, content_type, body.size(), http_1_1_, keep_alive_, retry_after_s});
  if (!head_only_) bytes += body;
  write(std::move(bytes));
}

void ClientConnection::take_events(const std::shared_ptr<Outbox>& outbox) {
  std::string events;
  bool ended = false;
  bool lost = false;
  {
    const std::lock_guard lock(outbox->mutex);
    outbox->scheduled = false;
    events.swap(outbox->events);
    ended = outbox->ended;
    lost = outbox->lost;
  }
  if (outbox != outbox_ || phase_ != Phase::busy) return;
  if (lost) return close();
  std::string bytes;
  if (!std::exchange(streaming_, true)) {
    services_.handler.responded(asked_path_, 200);
    if (!http_1_1_) keep_alive_ = false;  // the end of the stream is the end of the connection
    bytes = to_bytes({200, "text/event-stream", std::nullopt, http_1_1_, keep_alive_});
  }
  event_bytes_out_ += events.size();
  if (!events.empty()) bytes += chunk(events, http_1_1_);
  if (ended) {
    bytes += last_chunk(http_1_1_);
    reply_complete_ = true;
  }
  write(std::move(bytes));
}

void ClientConnection::reply_was_dropped(const std::shared_ptr<Outbox>& outbox) {
  if (outbox != outbox_ || phase_ != Phase::busy || reply_complete_) return;
  if (streaming_) return close();
  refuse(api::http_error(500, "The request came to no end; the log says more.", "internal_error"));
}

void ClientConnection::write(std::string bytes) {
  if (phase_ == Phase::closed) return;
  out_ += bytes;
  if (!writing_.empty()) return;
  if (out_.empty()) return on_written(true);
  writing_ = std::exchange(out_, {});
  event_bytes_writing_ = std::exchange(event_bytes_out_, 0);
  written_ = 0;
  write_rest();
}

void ClientConnection::write_rest() {
  write_progress_ = services_.clock.now();
  const std::string_view rest = std::string_view(writing_).substr(written_);
  stream_->write_some(rest, [self = shared_from_this()](bool ok, std::size_t count) {
    self->written_ += count;
    if (ok && self->phase_ != Phase::closed && self->written_ < self->writing_.size()) {
      return self->write_rest();
    }
    self->writing_.clear();
    self->on_written(ok);
  });
}

void ClientConnection::on_written(bool ok) {
  if (phase_ == Phase::closed) return;
  if (!ok) return close();
  if (outbox_ != nullptr && event_bytes_writing_ > 0) {
    const std::lock_guard lock(outbox_->mutex);
    outbox_->unsent -= std::min(outbox_->unsent, event_bytes_writing_);
  }
  event_bytes_writing_ = 0;
  if (!out_.empty()) return write({});
  if (phase_ == Phase::draining) return stream_->finish_writing();
  if (phase_ == Phase::busy && reply_complete_) finish_exchange();
}

void ClientConnection::finish_exchange() {
  outbox_.reset();
  if (!keep_alive_) {
    stream_->finish_writing();
    enter(Phase::draining);
    if (!reading_) close();
    return;
  }
  enter(Phase::idle);
  parse();
  read();
}

// ---- time and the end -------------------------------------------------------------------------

void ClientConnection::check_deadline(TimePoint now) {
  const bool stuck = !writing_.empty() && now - write_progress_ > services_.limits.write_time;
  if (stuck) return close();
  if (now < deadline_) return;
  const bool in_request = phase_ == Phase::head || phase_ == Phase::body;
  if (!in_request || !reader_.in_request()) return close();
  refuse(api::http_error(408, "The request did not arrive in time.", "request_timeout"));
}

void ClientConnection::close() {
  if (phase_ == Phase::closed) return;
  enter(Phase::closed);
  stream_->close();
  if (outbox_ != nullptr) {
    {
      const std::lock_guard lock(outbox_->mutex);
      outbox_->lost = true;
    }
    outbox_->gone.request_stop();
    outbox_.reset();
  }
  if (const auto closed = std::exchange(closed_, nullptr)) closed();
}

}  // namespace

std::shared_ptr<HttpConnection> make_http_connection(std::unique_ptr<ByteStream> stream,
                                                     std::uint64_t number,
                                                     const HttpConnectionServices& services,
                                                     std::function<void()> closed) {
  return std::make_shared<ClientConnection>(std::move(stream), number, services, std::move(closed));
}

}  // namespace caretd::daemon
