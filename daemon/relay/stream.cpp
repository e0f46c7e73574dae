#include "daemon/relay/stream.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/process/handshake.h"
#include "daemon/relay/descriptor_stream.h"

namespace caretd::daemon {

namespace {

Stream::Transfer transferred(ssize_t count) {
  if (count > 0) return {Stream::Outcome::done, static_cast<std::size_t>(count)};
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return {Stream::Outcome::would_block, 0};
  }
  return {Stream::Outcome::closed, 0};
}

Result<sockaddr_un> unix_address(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = socket.native();
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ErrorKind::invalid_input,
                path + " is too long for a socket; set XDG_RUNTIME_DIR to a shorter path");
  }
  path.copy(address.sun_path, path.size());
  return address;
}

/// The socket's folder is private, but a peer of another user would mean that it is not.
Result<void> require_own_peer(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
    return fail(ErrorKind::io, "the daemon at the other end belongs to another user");
  }
  return {};
}

bool wait_for(const Stream& stream, short events, std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd entry{stream.descriptor(), events, 0};
  return left.count() > 0 && poll(&entry, 1, static_cast<int>(left.count())) > 0;
}

using Deadline = std::chrono::steady_clock::time_point;

Result<void> write_line(Stream& stream, std::string_view rest, Deadline deadline) {
  while (!rest.empty()) {
    const auto sent = stream.write(rest);
    if (sent.outcome == Stream::Outcome::closed) {
      return fail(ErrorKind::not_found, "the daemon closed the connection");
    }
    rest.remove_prefix(sent.bytes);
    if (sent.outcome == Stream::Outcome::would_block && !wait_for(stream, POLLOUT, deadline)) {
      return fail(ErrorKind::io, "the daemon does not read");
    }
  }
  return {};
}

Result<std::string> read_line(Stream& stream, Deadline deadline) {
  std::string line;
  char byte = 0;
  while (line.size() < kMaxHandshakeBytes) {
    // One byte at a time: what follows the line belongs to the protocol.
    const auto got = stream.read(std::span(&byte, 1));
    // A daemon that was killed may still have let us connect.
    if (got.outcome == Stream::Outcome::closed) {
      return fail(ErrorKind::not_found, "the daemon closed the connection");
    }
    if (got.outcome == Stream::Outcome::would_block) {
      if (!wait_for(stream, POLLIN, deadline)) break;
      continue;
    }
    if (byte == '\n') return line;
    line += byte;
  }
  return fail(ErrorKind::io, "the daemon does not answer");
}

}  // namespace

DescriptorStream::DescriptorStream(UniqueFd socket) : socket_(std::move(socket)) {
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

Stream::Transfer DescriptorStream::read(std::span<char> into) {
  return transferred(recv(socket_.get(), into.data(), into.size(), 0));
}

Stream::Transfer DescriptorStream::write(std::span<const char> from) {
  return transferred(send(socket_.get(), from.data(), from.size(), MSG_NOSIGNAL));
}

void DescriptorStream::finish_writing() {
  shutdown(socket_.get(), SHUT_WR);
}

Result<std::unique_ptr<Stream>> connect_unix(const std::filesystem::path& socket) {
  const auto address = unix_address(socket);
  if (!address) return fail(address.error().kind, address.error().message);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail(ErrorKind::io, std::strerror(errno));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    const bool absent = errno == ENOENT || errno == ECONNREFUSED;
    return fail(absent ? ErrorKind::not_found : ErrorKind::io,
                absent ? "no daemon is running" : socket.string() + ": " + std::strerror(errno));
  }
  auto checked = require_own_peer(fd.get());
  if (!checked) return pass_on(std::move(checked));
  return std::make_unique<DescriptorStream>(std::move(fd));
}

Result<std::string> exchange_lines(Stream& stream, const std::string& line,
                                   std::chrono::milliseconds timeout) {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  auto written = write_line(stream, line, deadline);
  if (!written) return pass_on(std::move(written));
  return read_line(stream, deadline);
}

}  // namespace caretd::daemon
