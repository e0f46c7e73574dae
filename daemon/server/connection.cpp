#include "daemon/server/connection.h"

#include <array>
#include <chrono>
#include <deque>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <unistd.h>

#include "daemon/build_info.h"

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using LocalSocket = asio::local::stream_protocol::socket;
using TlsSocket = asio::ssl::stream<tcp::socket>;
using Failure = boost::system::error_code;

constexpr auto kHandshakeTime = std::chrono::seconds(5);
constexpr std::size_t kReadBytes = 64 << 10;

template <typename Socket>
class SocketConnection final : public Connection,
                               public std::enable_shared_from_this<SocketConnection<Socket>> {
 public:
  template <typename... Arguments>
  explicit SocketConnection(Arguments&&... arguments)
      : socket_(std::forward<Arguments>(arguments)...),
        timer_(socket_.get_executor()),
        line_(kMaxHandshakeBytes) {}

  void start(ConnectionEvents events) override;
  void welcome(const Welcome& welcome) override;
  void refuse(const std::string& reason) override;
  void abort() override;
  void set_events(ConnectionEvents events) override { events_ = std::move(events); }
  void write(std::string bytes) override;
  void pause_reading() override;
  void resume_reading() override;
  void close() override;

 private:
  void read_hello_line();
  void on_hello_line();
  void read();
  void enqueue(std::string bytes);
  void write_next();
  void end();
  void close_when_sent();

  template <typename Handler>
  void on_io_thread(Handler handler) {
    asio::post(socket_.get_executor(),
               [self = this->shared_from_this(), handler = std::move(handler)]() mutable {
                 handler(*self);
               });
  }

  Socket socket_;
  asio::steady_timer timer_;
  asio::streambuf line_;
  ConnectionEvents events_;
  std::array<char, kReadBytes> buffer_{};
  std::deque<std::string> unsent_;
  std::size_t unsent_bytes_ = 0;
  bool reading_ = false;
  bool paused_ = false;
  bool greeted_ = false;
  bool ended_ = false;
  bool closing_ = false;
  bool closed_ = false;
};

template <typename Socket>
void SocketConnection<Socket>::start(ConnectionEvents events) {
  events_ = std::move(events);
  timer_.expires_after(kHandshakeTime);
  timer_.async_wait([self = this->shared_from_this()](const Failure& failure) {
    if (!failure && !self->greeted_) self->abort();
  });
  if constexpr (std::is_same_v<Socket, TlsSocket>) {
    socket_.async_handshake(asio::ssl::stream_base::server,
                            [self = this->shared_from_this()](const Failure& failure) {
                              failure ? self->abort() : self->read_hello_line();
                            });
  } else {
    read_hello_line();
  }
}

template <typename Socket>
void SocketConnection<Socket>::read_hello_line() {
  asio::async_read_until(socket_, line_, '\n',
                         [self = this->shared_from_this()](const Failure& failure, std::size_t) {
                           failure ? self->abort() : self->on_hello_line();
                         });
}

template <typename Socket>
void SocketConnection<Socket>::on_hello_line() {
  std::istream stream(&line_);
  std::string line;
  std::getline(stream, line);
  const auto hello = read_hello(line);
  greeted_ = true;
  timer_.cancel();
  if (hello) {
    // The answer may replace the events.
    const auto on_hello = events_.on_hello;
    on_hello(*hello);
  } else {
    refuse(hello.error().message);
  }
}

template <typename Socket>
void SocketConnection<Socket>::welcome(const Welcome& welcome) {
  enqueue(write_welcome(welcome));
  // Bytes that came along with the hello.
  const std::string early((std::istreambuf_iterator<char>(&line_)), {});
  if (!early.empty() && events_.on_bytes) events_.on_bytes(early);
  read();
}

template <typename Socket>
void SocketConnection<Socket>::refuse(const std::string& reason) {
  enqueue(write_welcome({std::string(version()), 0, reason}));
  closing_ = true;
  close_when_sent();
}

template <typename Socket>
void SocketConnection<Socket>::read() {
  if (reading_ || paused_ || ended_ || closed_) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(buffer_), [self = this->shared_from_this()](
                                                     const Failure& failure, std::size_t count) {
    self->reading_ = false;
    if (count > 0 && self->events_.on_bytes) self->events_.on_bytes({self->buffer_.data(), count});
    if (failure) {
      self->end();
    } else {
      self->read();
    }
  });
}

template <typename Socket>
void SocketConnection<Socket>::end() {
  if (std::exchange(ended_, true)) return;
  if (events_.on_end) events_.on_end();
}

template <typename Socket>
void SocketConnection<Socket>::enqueue(std::string bytes) {
  if (closed_) return;
  unsent_bytes_ += bytes.size();
  if (unsent_bytes_ > kMostUnsentBytes) return abort();
  unsent_.push_back(std::move(bytes));
  if (unsent_.size() == 1) write_next();
}

template <typename Socket>
void SocketConnection<Socket>::write_next() {
  asio::async_write(socket_, asio::buffer(unsent_.front()),
                    [self = this->shared_from_this()](const Failure& failure, std::size_t) {
                      if (failure || self->closed_) return self->abort();
                      self->unsent_bytes_ -= self->unsent_.front().size();
                      self->unsent_.pop_front();
                      if (!self->unsent_.empty()) {
                        self->write_next();
                      } else {
                        self->close_when_sent();
                      }
                    });
}

template <typename Socket>
void SocketConnection<Socket>::close_when_sent() {
  if (closing_ && unsent_.empty()) abort();
}

template <typename Socket>
void SocketConnection<Socket>::abort() {
  if (std::exchange(closed_, true)) return;
  Failure ignored;
  timer_.cancel();
  socket_.lowest_layer().shutdown(asio::socket_base::shutdown_both, ignored);
  socket_.lowest_layer().close(ignored);
  end();
  // The callbacks hold what holds this connection.
  const ConnectionEvents events = std::exchange(events_, {});
  if (events.on_closed) events.on_closed();
}

template <typename Socket>
void SocketConnection<Socket>::write(std::string bytes) {
  on_io_thread([bytes = std::move(bytes)](SocketConnection& self) mutable {
    self.enqueue(std::move(bytes));
  });
}

template <typename Socket>
void SocketConnection<Socket>::pause_reading() {
  on_io_thread([](SocketConnection& self) { self.paused_ = true; });
}

template <typename Socket>
void SocketConnection<Socket>::resume_reading() {
  on_io_thread([](SocketConnection& self) {
    self.paused_ = false;
    self.read();
  });
}

template <typename Socket>
void SocketConnection<Socket>::close() {
  on_io_thread([](SocketConnection& self) {
    self.closing_ = true;
    self.close_when_sent();
  });
}

}  // namespace

std::shared_ptr<Connection> make_connection(LocalSocket socket) {
  return std::make_shared<SocketConnection<LocalSocket>>(std::move(socket));
}

std::shared_ptr<Connection> make_connection(tcp::socket socket) {
  return std::make_shared<SocketConnection<tcp::socket>>(std::move(socket));
}

std::shared_ptr<Connection> make_connection(tcp::socket socket, asio::ssl::context& context) {
  return std::make_shared<SocketConnection<TlsSocket>>(std::move(socket), context);
}

}  // namespace caretd::daemon
