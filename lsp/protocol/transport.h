// The bytes under a session: stdio, a socket, or a test's memory.
#pragma once

#include <string>

namespace caretd::lsp {

/// The outgoing half and the tap of the incoming one. Implementations feed what they read to
/// Session::receive(), in order, from one thread at a time.
///
/// Every member function may be called from any thread, never blocks and never calls back into the
/// session. After close() or a lost peer they do nothing.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Queues bytes; what one call is given stays together and calls keep their order.
  virtual void write(std::string bytes) = 0;

  /// Asks to stop reading, and to go on: the session has more input queued than it likes. What
  /// arrives nevertheless is accepted.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  /// Sends what is queued, then ends the connection.
  virtual void close() = 0;
};

}  // namespace caretd::lsp
