// A connected socket without its type: TCP or TLS over it.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace caretd::daemon {

/// Everything but post() belongs to the I/O thread, where the callbacks come too, never inside the
/// call that asked for them. One read and one write may be under way; both keep what they use
/// alive until they are over.
class ByteStream {
 public:
  virtual ~ByteStream() = default;

  /// Before anything else; at once for plain TCP.
  virtual void handshake(std::function<void(bool ok)> done) = 0;
  /// At least a byte; not ok at the end of the stream and on errors.
  virtual void read_some(std::span<char> into, std::function<void(bool ok, std::size_t)> done) = 0;
  /// As many of `bytes` (at least one) as there is room for, told as soon as they were taken: how
  /// a peer that reads slowly is told from one that does not read. They stay where they are until
  /// then.
  virtual void write_some(std::string_view bytes,
                          std::function<void(bool ok, std::size_t)> done) = 0;
  /// Tells the peer that nothing more is written.
  virtual void finish_writing() = 0;
  /// Ends what is under way, not ok.
  virtual void close() = 0;

  /// Runs `task` on the I/O thread. Any thread.
  virtual void post(std::function<void()> task) = 0;
};

}  // namespace caretd::daemon
