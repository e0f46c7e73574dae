#include "daemon/transport/stdio.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace caretd::daemon {

StdioTransport::StdioTransport(int input, int output)
    : input_(input),
      output_(output),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      writer_([this] { write_queued(); }) {}

StdioTransport::~StdioTransport() {
  close();
  if (writer_.joinable()) writer_.join();
  ::close(wake_);
}

void StdioTransport::run(const OnBytes& on_bytes, const OnEnd& on_end) {
  std::array<char, 1 << 16> buffer;
  while (wait_for_input()) {
    const ssize_t got = ::read(input_, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      on_end();
      break;
    }
    on_bytes(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_; });
  }
  writer_.join();
}

// False once the transport is closed.
bool StdioTransport::wait_for_input() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !paused_ || closed_; });
    if (closed_) return false;
  }
  std::array<pollfd, 2> waited = {pollfd{input_, POLLIN, 0}, pollfd{wake_, POLLIN, 0}};
  while (::poll(waited.data(), waited.size(), -1) < 0 && errno == EINTR) {
  }
  const std::lock_guard lock(mutex_);
  return !closed_;
}

void StdioTransport::write(std::string bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || output_lost_) return;
    unsent_bytes_ += bytes.size();
    unsent_.push_back(std::move(bytes));
    if (unsent_bytes_ <= kMostUnsentBytes) return changed_.notify_all();
  }
  give_up_output();
}

void StdioTransport::write_queued() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !unsent_.empty() || closed_ || output_lost_; });
    if (unsent_.empty() || output_lost_) return;
    const std::string bytes = std::move(unsent_.front());
    unsent_.pop_front();
    unsent_bytes_ -= bytes.size();
    lock.unlock();
    const bool written = write_all(bytes);
    lock.lock();
    if (written) continue;
    lock.unlock();
    return give_up_output();
  }
}

bool StdioTransport::write_all(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written = ::write(output_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      pollfd waited{output_, POLLOUT, 0};
      ::poll(&waited, 1, -1);
      continue;
    }
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// Nobody reads any more; the input's end follows and ends the session.
void StdioTransport::give_up_output() {
  const std::lock_guard lock(mutex_);
  output_lost_ = true;
  unsent_.clear();
  unsent_bytes_ = 0;
  changed_.notify_all();
}

void StdioTransport::pause_reading() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
}

void StdioTransport::resume_reading() {
  const std::lock_guard lock(mutex_);
  paused_ = false;
  changed_.notify_all();
}

void StdioTransport::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_, &one, sizeof one);
}

}  // namespace caretd::daemon
