#include "daemon/server/daemon_server.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/build_info.h"
#include "daemon/relay/session_mirror.h"
#include "daemon/transport/tcp_listening.h"
#include "lsp/protocol/framing.h"
#include "lsp/protocol/message.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using Failure = boost::system::error_code;

constexpr auto kAnswerPoll = std::chrono::milliseconds(20);
/// Whoever does not read its goodbye holds up nobody for longer.
constexpr auto kGoodbyeTime = std::chrono::milliseconds(500);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

/// Whether the process at the other end is this user's.
bool is_own_peer(stream_protocol::socket& socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == geteuid();
}

TcpListening lsp_listening(const ListenSettings& settings, const std::string& token,
                           bool insecure) {
  return {.section = "listen",
          .address = settings.address,
          .certificate = settings.certificate,
          .key = settings.key,
          .secret = token,
          .secret_key = "listen.token_file",
          .secret_on_loopback = true,
          .insecure = insecure};
}

}  // namespace

DaemonServer::DaemonServer(asio::io_context& io, ServerOptions options, ServerServices services,
                           const Clock& clock, Logger log)
    : io_(io),
      options_(std::move(options)),
      services_(std::move(services)),
      clock_(clock),
      log_(std::move(log)),
      started_(clock.now()),
      local_(io),
      remote_(io),
      stop_timer_(io) {}

DaemonServer::~DaemonServer() {
  if (!socket_file_.empty()) ::unlink(socket_file_.c_str());
}

Result<void> DaemonServer::listen_on(const std::filesystem::path& socket) {
  ::unlink(socket.c_str());
  Failure failure;
  local_.open(stream_protocol(), failure);
  // Nobody else can reach into the folder; the mode says it once more.
  const mode_t mask = umask(S_IRWXG | S_IRWXO | S_IXUSR);
  if (!failure) local_.bind(stream_protocol::endpoint(socket.string()), failure);
  umask(mask);
  if (!failure) local_.listen(asio::socket_base::max_listen_connections, failure);
  if (failure) return fail(ErrorKind::io, socket.string() + ": " + failure.message());
  socket_file_ = socket;
  accept_local();
  return {};
}

Result<void> DaemonServer::adopt_listener(int fd) {
  Failure failure;
  local_.assign(stream_protocol(), fd, failure);
  if (failure) return fail(ErrorKind::io, "the socket from systemd: " + failure.message());
  accept_local();
  return {};
}

Result<void> DaemonServer::listen_on(const ListenSettings& settings, bool insecure) {
  const TcpListening listening = lsp_listening(settings, options_.token, insecure);
  const auto endpoint = resolve_listening(io_, listening);
  if (!endpoint) return fail(endpoint.error().kind, endpoint.error().message);
  if (auto allowed = check_exposure(*endpoint, listening); !allowed) return allowed;
  if (!settings.certificate.empty()) {
    auto tls = make_tls_context(listening);
    if (!tls) return pass_on(std::move(tls));
    tls_ = *std::move(tls);
  }
  if (auto opened = open_listener(remote_, *endpoint, listening); !opened) return opened;
  log_->info("listening on {}{}", settings.address, tls_ ? " (TLS)" : " without TLS");
  accept_remote();
  return {};
}

void DaemonServer::accept_local() {
  local_.async_accept([this](const Failure& failure, stream_protocol::socket socket) {
    if (failure == asio::error::operation_aborted) return;
    if (failure) return accept_later(&DaemonServer::accept_local);
    if (is_own_peer(socket)) {
      serve(make_connection(std::move(socket)), false);
    } else {
      log_->warn("a process of another user tried to connect");
    }
    accept_local();
  });
}

void DaemonServer::accept_remote() {
  remote_.async_accept([this](const Failure& failure, tcp::socket socket) {
    if (failure == asio::error::operation_aborted) return;
    if (failure) return accept_later(&DaemonServer::accept_remote);
    Failure ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    serve(tls_ ? make_connection(std::move(socket), *tls_) : make_connection(std::move(socket)),
          true);
    accept_remote();
  });
}

/// Out of descriptors, most likely: the next attempt would fail at once as well.
void DaemonServer::accept_later(void (DaemonServer::*accept)()) {
  const auto pause = std::make_shared<asio::steady_timer>(io_, kAcceptPause);
  pause->async_wait([this, pause, accept](const Failure& failure) {
    if (!failure && !stopping_since_) (this->*accept)();
  });
}

void DaemonServer::serve(const std::shared_ptr<Connection>& connection, bool needs_token) {
  ConnectionEvents events;
  events.on_hello = [this, weak = std::weak_ptr(connection), needs_token](const Hello& hello) {
    if (const auto alive = weak.lock()) on_hello(alive, hello, needs_token);
  };
  events.on_bytes = [](std::string_view) {};
  connection->start(std::move(events));
}

void DaemonServer::on_hello(const std::shared_ptr<Connection>& connection, const Hello& hello,
                            bool needs_token) {
  if (needs_token && !equal_secrets(hello.token, options_.token)) {
    return connection->refuse("the token is wrong");
  }
  if (stopping_since_) return connection->refuse("the daemon is stopping");
  switch (hello.purpose) {
    case Purpose::session: {
      Hello own = hello;
      if (needs_token) own.config.clear();  // a path on the peer's machine means nothing here
      return start_session(connection, own);
    }
    case Purpose::status:
      return send_status(connection);
    case Purpose::stop:
      if (needs_token) return connection->refuse("only the user's own machine may stop the daemon");
      connection->welcome({std::string(version()), getpid(), {}});
      waiting_for_stop_.push_back(connection);
      return stop();
  }
}

void DaemonServer::start_session(const std::shared_ptr<Connection>& connection,
                                 const Hello& hello) {
  if (sessions_.size() >= options_.max_sessions) {
    return connection->refuse(
        fmt::format("{} editors are connected already (daemon.max_sessions)", sessions_.size()));
  }
  const std::uint64_t number = next_session_++;
  // Sessions end on a worker; what that means is decided on the I/O thread.
  const auto ended = [&io = io_, this, number](int) {
    asio::post(io, [this, number] { forget_session(number); });
  };
  auto session =
      std::make_unique<lsp::Session>(services_.session_services(hello), number, connection, ended);
  lsp::Session* const reader = session.get();
  sessions_.push_back({number, connection, std::move(session), clock_.now()});
  connection->set_events({.on_hello = {},
                          .on_bytes =
                              [this, reader](std::string_view bytes) {
                                services_.on_activity();
                                reader->receive(bytes);
                              },
                          .on_end = [reader] { reader->end_of_input(); },
                          .on_closed = [this, number] { forget_session(number); }});
  log_->info("session {} began", number);
  services_.on_session_count(sessions_.size());
  connection->welcome({std::string(version()), getpid(), {}});
}

void DaemonServer::forget_session(std::uint64_t number) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                  [number](const auto& entry) { return entry.number == number; });
  if (found == sessions_.end()) return;
  const SessionEntry entry = std::move(*found);
  sessions_.erase(found);
  entry.connection->forget_events();
  entry.connection->close();
  log_->info("session {} ended", number);
  services_.on_session_count(sessions_.size());
}

void DaemonServer::send_status(const std::shared_ptr<Connection>& connection) {
  connection->welcome({std::string(version()), getpid(), {}});
  connection->write(lsp::to_string(status()) + '\n');
  connection->close();
}

lsp::Json DaemonServer::status() const {
  lsp::Json value{{"version", version()},
                  {"pid", getpid()},
                  {"uptimeSeconds", to_milliseconds(clock_.now() - started_) / 1000},
                  {"sessions", lsp::Json::array()}};
  for (const SessionEntry& entry : sessions_) {
    value["sessions"].push_back(
        {{"number", entry.number},
         {"ageSeconds", to_milliseconds(clock_.now() - entry.since) / 1000}});
  }
  services_.describe(value);
  return value;
}

void DaemonServer::settings_changed() {
  for (const SessionEntry& entry : sessions_) entry.session->settings_changed();
}

void DaemonServer::stop() {
  if (stopping_since_) return;
  stopping_since_ = clock_.now();
  log_->info("stopping");
  Failure ignored;
  local_.close(ignored);
  remote_.close(ignored);
  if (!socket_file_.empty()) ::unlink(socket_file_.c_str());
  socket_file_.clear();
  for (const SessionEntry& entry : sessions_) entry.connection->pause_reading();
  wait_for_answers();
}

void DaemonServer::wait_for_answers() {
  const bool late = clock_.now() - *stopping_since_ > options_.stop_time;
  stop_timer_.expires_after(kAnswerPoll);
  stop_timer_.async_wait([this, late](const Failure& failure) {
    if (failure) return;
    const bool waited_for =
        std::any_of(sessions_.begin(), sessions_.end(),
                    [](const SessionEntry& entry) { return entry.session->has_unanswered(); });
    if (late || !waited_for) {
      close_everything();
    } else {
      wait_for_answers();
    }
  });
}

void DaemonServer::close_everything() {
  const std::string goodbye =
      lsp::frame(lsp::to_string(lsp::make_notification(kGoodbyeMethod, nullptr)));
  for (const SessionEntry& entry : sessions_) {
    entry.connection->write(goodbye);
    entry.connection->close();
  }
  for (const auto& connection : waiting_for_stop_) connection->close();
  wait_until_sent(clock_.now() + kGoodbyeTime);
}

/// An editor that was not told would take the end for a crash and have a new daemon started.
void DaemonServer::wait_until_sent(TimePoint until) {
  stop_timer_.expires_after(kAnswerPoll);
  stop_timer_.async_wait([this, until](const Failure&) {
    if (sessions_.empty() || clock_.now() >= until) {
      io_.stop();
    } else {
      wait_until_sent(until);
    }
  });
}

}  // namespace caretd::daemon
