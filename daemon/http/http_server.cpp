#include "daemon/http/http_server.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/http/event_pacer.h"
#include "daemon/http/http_connection.h"
#include "daemon/http/socket_stream.h"
#include "daemon/transport/tcp_listening.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Failure = boost::system::error_code;

constexpr auto kSweep = std::chrono::milliseconds(200);
/// After a failed accept: most often the process is out of descriptors for a moment.
constexpr auto kHttpAcceptPause = std::chrono::milliseconds(100);
constexpr int kSendBuffer = 128 << 10;
constexpr auto kWindUpPoll = std::chrono::milliseconds(5);

TcpListening http_listening(const HttpServerOptions& options) {
  return {.section = "http",
          .address = options.address,
          .certificate = options.certificate,
          .key = options.key,
          .secret = options.api_key,
          .secret_key = "http.api_key_file",
          .insecure = options.insecure};
}

class Server final : public HttpServer {
 public:
  Server(const HttpServerOptions& options, api::Handler& handler, const Clock& clock, Logger log)
      : options_(options),
        handler_(handler),
        clock_(clock),
        log_(std::move(log)),
        acceptor_(io_),
        sweep_timer_(io_),
        accept_timer_(io_),
        event_timer_(io_) {}
  ~Server() override { stop(std::chrono::milliseconds(0)); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] Result<void> open();
  [[nodiscard]] std::uint16_t port() const override { return port_; }
  void stop(std::chrono::milliseconds grace) override;

 private:
  void accept();
  void accepted(tcp::socket socket);
  void serve(std::unique_ptr<ByteStream> stream);
  void make_room();
  void forget(std::uint64_t number);
  [[nodiscard]] bool full() const { return connections_.size() >= options_.limits.max_connections; }
  void sweep();
  void pause_events(Duration pause);
  [[nodiscard]] bool busy() const;
  void close_all();
  void wind_up(TimePoint until);

  const HttpServerOptions options_;
  api::Handler& handler_;
  const Clock& clock_;
  const Logger log_;
  std::uint16_t port_ = 0;

  asio::io_context io_{1};
  std::optional<asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
  asio::steady_timer sweep_timer_;
  asio::steady_timer accept_timer_;
  asio::steady_timer event_timer_;
  EventPacer pacer_{{[this] { asio::post(io_, [this] { pacer_.run(); }); },
                     [this](Duration pause) { pause_events(pause); }}};
  std::map<std::uint64_t, std::shared_ptr<HttpConnection>> connections_;
  std::uint64_t next_number_ = 1;
  std::atomic<int> live_replies_ = 0;
  std::thread thread_;
};

Result<void> Server::open() {
  const TcpListening settings = http_listening(options_);
  auto endpoint = resolve_listening(io_, settings);
  if (!endpoint) return pass_on(std::move(endpoint));
  if (auto allowed = check_exposure(*endpoint, settings); !allowed) return allowed;
  if (!settings.certificate.empty()) {
    auto tls = make_tls_context(settings);
    if (!tls) return pass_on(std::move(tls));
    tls_ = *std::move(tls);
  }
  if (auto opened = open_listener(acceptor_, *endpoint, settings); !opened) return opened;
  Failure ignored;
  port_ = acceptor_.local_endpoint(ignored).port();
  if (!endpoint->address().is_loopback() && !tls_) {
    log_->warn("http.address {}: prompts and the API key travel without encryption",
               options_.address);
  }
  accept();
  sweep();
  thread_ = std::thread([this] { io_.run(); });
  return {};
}

void Server::accept() {
  acceptor_.async_accept([this](const Failure& failure, tcp::socket socket) {
    if (!acceptor_.is_open()) return;
    if (!failure) {
      accepted(std::move(socket));
      return accept();
    }
    accept_timer_.expires_after(kHttpAcceptPause);
    accept_timer_.async_wait([this](const Failure& ended) {
      if (!ended && acceptor_.is_open()) accept();
    });
  });
}

void Server::accepted(tcp::socket socket) {
  Failure ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  // The kernel would keep megabytes for a client that does not read.
  socket.set_option(tcp::socket::send_buffer_size(kSendBuffer), ignored);
  if (full()) make_room();
  if (full() && tls_) return;  // no words without a handshake
  serve(tls_ ? make_socket_stream(std::move(socket), *tls_)
             : make_socket_stream(std::move(socket)));
}

void Server::serve(std::unique_ptr<ByteStream> stream) {
  const bool turned_away = full();
  const std::uint64_t number = next_number_++;
  const HttpConnectionServices services{options_.limits, options_.api_key, handler_,
                                        clock_,          pacer_,           live_replies_};
  auto connection =
      make_http_connection(std::move(stream), number, services, [this, number] { forget(number); });
  connections_.emplace(number, connection);
  handler_.connections_changed(connections_.size());
  if (turned_away) {
    connection->turn_away("Too many connections (http.max_connections).");
  } else {
    connection->start();
  }
}

/// Closes the connection that has been idle for the longest time: whoever comes has something to
/// ask, and a client that kept its connection opens another when it needs one.
void Server::make_room() {
  auto oldest = connections_.end();
  std::optional<TimePoint> since;
  for (auto entry = connections_.begin(); entry != connections_.end(); ++entry) {
    const std::optional<TimePoint> idle = entry->second->idle_since();
    if (!idle || (since && *since <= *idle)) continue;
    oldest = entry;
    since = idle;
  }
  if (oldest == connections_.end()) return;
  const std::shared_ptr<HttpConnection> connection = std::move(oldest->second);
  connections_.erase(oldest);
  connection->close();
}

void Server::forget(std::uint64_t number) {
  // The connection may be running at the moment.
  asio::post(io_, [this, number] {
    connections_.erase(number);
    handler_.connections_changed(connections_.size());
  });
}

void Server::sweep() {
  sweep_timer_.expires_after(kSweep);
  sweep_timer_.async_wait([this](const Failure& failure) {
    if (failure) return;
    const TimePoint now = clock_.now();
    // Closing one removes it later, not now.
    for (const auto& [number, connection] : connections_) connection->check_deadline(now);
    sweep();
  });
}

void Server::pause_events(Duration pause) {
  event_timer_.expires_after(pause);
  event_timer_.async_wait([this](const Failure& failure) {
    if (!failure) pacer_.pause_over();
  });
}

bool Server::busy() const {
  return std::ranges::any_of(connections_, [](const auto& entry) { return entry.second->busy(); });
}

void Server::close_all() {
  for (const auto& [number, connection] : connections_) connection->close();
}

/// Looks again and again: replies under way have until `until` to end; then everything is closed,
/// and whoever produces the replies is given the time to let go of them.
void Server::wind_up(TimePoint until) {
  const bool late = clock_.now() >= until;
  if (late || !busy()) close_all();
  if (connections_.empty() && live_replies_ == 0) return io_.stop();
  sweep_timer_.expires_after(kWindUpPoll);
  sweep_timer_.async_wait([this, until](const Failure&) { wind_up(until); });
}

void Server::stop(std::chrono::milliseconds grace) {
  if (!thread_.joinable()) return;
  asio::post(io_, [this, until = clock_.now() + grace] {
    Failure ignored;
    acceptor_.close(ignored);
    wind_up(until);
  });
  thread_.join();
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options,
                                                      api::Handler& handler, const Clock& clock,
                                                      Logger log) {
  auto server = std::make_unique<Server>(options, handler, clock, std::move(log));
  if (auto opened = server->open(); !opened) return pass_on(std::move(opened));
  return server;
}

}  // namespace caretd::daemon
