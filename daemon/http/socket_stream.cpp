#include "daemon/http/socket_stream.h"

#include <type_traits>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using TlsSocket = asio::ssl::stream<tcp::socket>;
using Failure = boost::system::error_code;

/// Asio keeps the handlers, and what they hold, until they ran; the socket lives in the stream,
/// which the handlers of its user keep alive.
template <typename Socket>
class SocketStream final : public ByteStream {
 public:
  template <typename... Arguments>
  explicit SocketStream(Arguments&&... arguments)
      : socket_(std::forward<Arguments>(arguments)...) {}

  void handshake(std::function<void(bool)> done) override {
    if constexpr (std::is_same_v<Socket, TlsSocket>) {
      socket_.async_handshake(asio::ssl::stream_base::server,
                              [done = std::move(done)](const Failure& failure) { done(!failure); });
    } else {
      post([done = std::move(done)] { done(true); });
    }
  }

  void read_some(std::span<char> into, std::function<void(bool, std::size_t)> done) override {
    socket_.async_read_some(asio::buffer(into.data(), into.size()),
                            [done = std::move(done)](const Failure& failure, std::size_t count) {
                              done(!failure, count);
                            });
  }

  void write_some(std::string_view bytes, std::function<void(bool, std::size_t)> done) override {
    socket_.async_write_some(asio::buffer(bytes.data(), bytes.size()),
                             [done = std::move(done)](const Failure& failure, std::size_t count) {
                               done(!failure, count);
                             });
  }

  void finish_writing() override {
    Failure ignored;
    socket_.lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
  }

  void close() override {
    Failure ignored;
    socket_.lowest_layer().close(ignored);
  }

  void post(std::function<void()> task) override {
    asio::post(socket_.get_executor(), std::move(task));
  }

 private:
  Socket socket_;
};

}  // namespace

std::unique_ptr<ByteStream> make_socket_stream(tcp::socket socket) {
  return std::make_unique<SocketStream<tcp::socket>>(std::move(socket));
}

std::unique_ptr<ByteStream> make_socket_stream(tcp::socket socket, asio::ssl::context& context) {
  return std::make_unique<SocketStream<TlsSocket>>(std::move(socket), context);
}

}  // namespace caretd::daemon
