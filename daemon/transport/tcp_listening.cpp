#include "daemon/transport/tcp_listening.h"

#include <utility>

namespace caretd::daemon {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Failure = boost::system::error_code;

}  // namespace

Result<tcp::endpoint> resolve_listening(asio::io_context& io, const TcpListening& settings) {
  const std::string& address = settings.address;
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return fail(ErrorKind::invalid_input,
                settings.section + ".address must be HOST:PORT, not " + address);
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  Failure failure;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, address.substr(colon + 1), failure);
  if (failure || found.empty()) {
    return fail(ErrorKind::invalid_input,
                settings.section + ".address " + address + ": " + failure.message());
  }
  return found.begin()->endpoint();
}

Result<void> check_exposure(const tcp::endpoint& endpoint, const TcpListening& settings) {
  const bool loopback = endpoint.address().is_loopback();
  const std::string reachable = settings.section + ".address is reachable from other machines; ";
  if (settings.secret.empty() && (settings.secret_on_loopback || !loopback)) {
    return fail(ErrorKind::invalid_input,
                settings.section + ".address is reachable for other users and machines; set " +
                    settings.secret_key);
  }
  if (loopback) return {};
  if (settings.certificate.empty() && !settings.insecure) {
    return fail(ErrorKind::invalid_input,
                reachable + "set " + settings.section + ".certificate and " + settings.section +
                    ".key, or pass --insecure to send everything in the clear");
  }
  return {};
}

Result<asio::ssl::context> make_tls_context(const TcpListening& settings) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  Failure failure;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                      asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
  context.use_certificate_chain_file(settings.certificate, failure);
  if (failure) {
    return fail(ErrorKind::invalid_input, settings.section + ".certificate: " + failure.message());
  }
  context.use_private_key_file(settings.key, asio::ssl::context::pem, failure);
  if (failure) {
    return fail(ErrorKind::invalid_input, settings.section + ".key: " + failure.message());
  }
  return context;
}

Result<void> open_listener(tcp::acceptor& acceptor, const tcp::endpoint& endpoint,
                           const TcpListening& settings) {
  Failure failure;
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
  if (!failure) return {};
  return fail(ErrorKind::io, settings.section + ".address " + settings.address + ": " +
                                 failure.message() +
                                 (failure == asio::error::address_in_use
                                      ? "; choose another port, or end what listens there"
                                      : ""));
}

}  // namespace caretd::daemon
