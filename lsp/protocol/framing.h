// The header part of the base protocol: Content-Length frames out of a stream of bytes, and back.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace caretd::lsp {

struct FrameLimits {
  std::size_t header_bytes = 4096;
  std::size_t body_bytes = std::size_t{64} << 20;
};

/// A stretch of input that is no frame, or a frame over the limits. One for each such stretch.
struct FrameFault {
  std::string message;
};

/// The body of a frame, or what was there instead.
using FrameEvent = std::variant<std::string, FrameFault>;

/// Cuts a byte stream into frames. After a fault it goes on at the next "Content-Length:", so that
/// garbage costs the client an error and not the session. Not thread-safe.
class FrameReader {
 public:
  explicit FrameReader(FrameLimits limits = {}) : limits_(limits) {}

  void push(std::string_view bytes) { buffer_.append(bytes); }
  /// Nothing when more bytes are needed.
  [[nodiscard]] std::optional<FrameEvent> next();

 private:
  enum class State : unsigned char { header, body, skipped_body, resync };

  std::optional<FrameEvent> read_header();
  std::optional<FrameEvent> accept_header(std::string_view header, std::size_t end);
  std::optional<FrameEvent> read_body();
  bool skip_body();
  bool find_next_header();
  FrameFault lose_sync(std::size_t skip, std::string message);
  void consume(std::size_t bytes);
  [[nodiscard]] std::string_view unread() const {
    return std::string_view(buffer_).substr(consumed_);
  }

  const FrameLimits limits_;
  std::string buffer_;
  std::size_t consumed_ = 0;  // of buffer_
  std::size_t length_ = 0;    // of the body in progress, or of what is left to skip
  State state_ = State::header;
};

/// A body with its header.
[[nodiscard]] std::string frame(std::string_view body);

}  // namespace caretd::lsp
