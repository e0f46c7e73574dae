// ByteStream over Asio's sockets.
#pragma once

#include <memory>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "daemon/http/byte_stream.h"

namespace caretd::daemon {

[[nodiscard]] std::unique_ptr<ByteStream> make_socket_stream(boost::asio::ip::tcp::socket socket);
/// `context` must outlive the stream.
[[nodiscard]] std::unique_ptr<ByteStream> make_socket_stream(boost::asio::ip::tcp::socket socket,
                                                             boost::asio::ssl::context& context);

}  // namespace caretd::daemon
