// A session over two file descriptors: the editor's pipes.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "lsp/protocol/transport.h"

namespace caretd::daemon {

/// Reads on the thread that calls run() and writes on one of its own, so that a client that does
/// not read holds up nobody. The descriptors are borrowed.
class StdioTransport final : public lsp::Transport {
 public:
  /// Output that a client may leave unread before the connection is given up.
  static constexpr std::size_t kMostUnsentBytes = std::size_t{64} << 20;

  StdioTransport(int input, int output);
  ~StdioTransport() override;
  StdioTransport(const StdioTransport&) = delete;
  StdioTransport& operator=(const StdioTransport&) = delete;

  using OnBytes = std::function<void(std::string_view)>;
  using OnEnd = std::function<void()>;
  /// Feeds what arrives to `on_bytes`, and the end of it to `on_end`, until close(). Returns when
  /// what was queued has been written, or cannot be.
  void run(const OnBytes& on_bytes, const OnEnd& on_end);

  void write(std::string bytes) override;
  void pause_reading() override;
  void resume_reading() override;
  void close() override;

 private:
  void write_queued();
  [[nodiscard]] bool write_all(std::string_view bytes) const;
  [[nodiscard]] bool wait_for_input();
  void give_up_output();

  const int input_;
  const int output_;
  int wake_ = -1;  // an eventfd that ends the wait for input

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> unsent_;
  std::size_t unsent_bytes_ = 0;
  bool paused_ = false;
  bool closed_ = false;
  bool output_lost_ = false;
  std::thread writer_;
};

}  // namespace caretd::daemon
