// What every listener on TCP needs: its address, its certificate, and the rules for addresses that
// other machines reach.
#pragma once

#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "support/result.h"

namespace caretd::daemon {

/// The settings of one listener; `section` is where its keys stand in the configuration.
struct TcpListening {
  std::string section;      ///< "listen", "http": for messages
  std::string address;      ///< HOST:PORT; a port of 0 takes a free one
  std::string certificate;  ///< PEM files; empty: no TLS
  std::string key;
  std::string secret;      ///< what peers must present; empty: nothing
  std::string secret_key;  ///< the configuration key that sets it
  /// Loopback addresses need the secret as well: other users of the machine reach them.
  bool secret_on_loopback = false;
  bool insecure = false;  ///< no TLS although other machines reach the address
};

[[nodiscard]] Result<boost::asio::ip::tcp::endpoint> resolve_listening(
    boost::asio::io_context& io, const TcpListening& settings);

/// Off the loopback interface a secret is needed and, unless `insecure`, a certificate. On it
/// `secret_on_loopback` decides.
[[nodiscard]] Result<void> check_exposure(const boost::asio::ip::tcp::endpoint& endpoint,
                                          const TcpListening& settings);

/// TLS 1.2 and later with the certificate of the settings.
[[nodiscard]] Result<boost::asio::ssl::context> make_tls_context(const TcpListening& settings);

/// Opens, binds and listens.
[[nodiscard]] Result<void> open_listener(boost::asio::ip::tcp::acceptor& acceptor,
                                         const boost::asio::ip::tcp::endpoint& endpoint,
                                         const TcpListening& settings);

}  // namespace caretd::daemon
