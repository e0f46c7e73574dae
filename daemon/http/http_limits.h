// What one peer may cost the server.
#pragma once

#include <chrono>
#include <cstddef>

namespace caretd::daemon {

struct HttpLimits {
  std::size_t max_connections = 256;
  std::size_t max_header_bytes = std::size_t{16} << 10;
  std::size_t max_body_bytes = std::size_t{8} << 20;
  /// Events that a client has not read yet; beyond it is taken for one that stopped reading.
  std::size_t max_unsent_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds header_time{10'000};  ///< first byte to the end of the header
  std::chrono::milliseconds body_time{30'000};    ///< and to the end of the body
  std::chrono::milliseconds idle_time{60'000};    ///< between two requests
  std::chrono::milliseconds write_time{30'000};   ///< to take any of what is written
  std::chrono::milliseconds drain_time{3'000};    ///< to read an error while still sending
};

}  // namespace caretd::daemon
