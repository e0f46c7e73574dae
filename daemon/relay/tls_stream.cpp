// TCP with TLS (OpenSSL), for `caretd lsp --connect host:port`.
#include <cstring>
#include <utility>

#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/process/unique_fd.h"
#include "daemon/relay/descriptor_stream.h"
#include "daemon/relay/stream.h"

namespace caretd::daemon {

namespace {

constexpr int kConnectTimeoutMs = 10'000;

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;
using Ssl = std::unique_ptr<SSL, SslDeleter>;

std::string last_tls_error() {
  const unsigned long code = ERR_get_error();
  return code == 0 ? "the connection was closed" : ERR_reason_error_string(code);
}

class TlsStream final : public Stream {
 public:
  TlsStream(UniqueFd socket, Context context, Ssl ssl)
      : plain_(std::move(socket)), context_(std::move(context)), ssl_(std::move(ssl)) {}

  [[nodiscard]] int descriptor() const override { return plain_.descriptor(); }
  [[nodiscard]] bool wants_to_write() const override { return wants_to_write_; }

  [[nodiscard]] Transfer read(std::span<char> into) override {
    std::size_t count = 0;
    const int outcome = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
    return transferred(outcome, count);
  }

  [[nodiscard]] Transfer write(std::span<const char> from) override {
    std::size_t count = 0;
    const int outcome = SSL_write_ex(ssl_.get(), from.data(), from.size(), &count);
    return transferred(outcome, count);
  }

  void finish_writing() override { SSL_shutdown(ssl_.get()); }

 private:
  Transfer transferred(int outcome, std::size_t count) {
    wants_to_write_ = false;
    if (outcome == 1) return {Outcome::done, count};
    const int error = SSL_get_error(ssl_.get(), outcome);
    ERR_clear_error();
    wants_to_write_ = error == SSL_ERROR_WANT_WRITE;
    const bool later = wants_to_write_ || error == SSL_ERROR_WANT_READ;
    return {later ? Outcome::would_block : Outcome::closed, 0};
  }

  DescriptorStream plain_;  // owns the socket and made it non-blocking
  Context context_;
  Ssl ssl_;
  bool wants_to_write_ = false;
};

Result<UniqueFd> connect_socket(const RemoteDaemon& daemon) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int outcome = getaddrinfo(daemon.host.c_str(), daemon.port.c_str(), &hints, &found);
  if (outcome != 0) return fail(ErrorKind::not_found, daemon.host + ": " + gai_strerror(outcome));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    UniqueFd fd(socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol));
    const timeval timeout{kConnectTimeoutMs / 1000, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fd.valid() && connect(fd.get(), entry->ai_addr, entry->ai_addrlen) == 0) return fd;
  }
  return fail(ErrorKind::not_found, "no daemon answers at " + daemon.host + ":" + daemon.port +
                                        ": " + std::strerror(errno));
}

Result<Context> make_context(const RemoteDaemon& daemon) {
  Context context(SSL_CTX_new(TLS_client_method()));
  if (!context) return fail(ErrorKind::internal, last_tls_error());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // A write may be repeated with a buffer that has moved.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  const bool loaded = daemon.ca_file.empty()
                          ? SSL_CTX_set_default_verify_paths(context.get()) == 1
                          : SSL_CTX_load_verify_file(context.get(), daemon.ca_file.c_str()) == 1;
  if (!loaded) {
    return fail(ErrorKind::invalid_input,
                daemon.ca_file.string() + " holds no certificates: " + last_tls_error());
  }
  return context;
}

}  // namespace

Result<RemoteDaemon> parse_remote_daemon(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return fail(ErrorKind::invalid_input, "'" + address + "' is not HOST:PORT");
  }
  RemoteDaemon daemon;
  daemon.host = address.substr(0, colon);
  daemon.port = address.substr(colon + 1);
  if (daemon.host.front() == '[' && daemon.host.back() == ']') {
    daemon.host = daemon.host.substr(1, daemon.host.size() - 2);
  }
  return daemon;
}

Result<std::unique_ptr<Stream>> connect_tcp(const RemoteDaemon& daemon) {
  auto socket = connect_socket(daemon);
  if (!socket) return pass_on(std::move(socket));
  if (!daemon.tls) return std::make_unique<DescriptorStream>(*std::move(socket));
  auto context = make_context(daemon);
  if (!context) return pass_on(std::move(context));
  Ssl ssl(SSL_new(context->get()));
  SSL_set_fd(ssl.get(), socket->get());
  SSL_set_tlsext_host_name(ssl.get(), daemon.host.c_str());
  // Addresses are compared with the certificate's addresses, names with its names.
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl.get());
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, daemon.host.c_str()) != 1) {
    ERR_clear_error();
    SSL_set1_host(ssl.get(), daemon.host.c_str());
  }
  if (SSL_connect(ssl.get()) != 1) {
    return fail(ErrorKind::io, daemon.host + ": TLS failed: " + last_tls_error());
  }
  return std::make_unique<TlsStream>(*std::move(socket), *std::move(context), std::move(ssl));
}

}  // namespace caretd::daemon
