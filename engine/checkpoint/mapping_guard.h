// A mapped file that somebody shortens must not end the process: touching the pages that are gone
// raises SIGBUS, whose default is to do just that.
#pragma once

#include <cstddef>
#include <span>

namespace caretd::engine {

/// While it lives, lost pages of one file mapping read as zeros and are remembered. Movable. How a
/// signal is handled belongs to the process, so the first guard installs a handler and the guarded
/// ranges are the process's; a SIGBUS anywhere else takes the course it would have taken. A range
/// beyond the first 1,024 that are guarded at once is not guarded.
class MappingGuard {
 public:
  MappingGuard() = default;
  /// `mapping` starts and ends where mmap() made it.
  explicit MappingGuard(std::span<const std::byte> mapping);
  MappingGuard(MappingGuard&& other) noexcept;
  MappingGuard& operator=(MappingGuard&& other) noexcept;
  ~MappingGuard();

  /// Whether no page was lost so far. Any thread.
  [[nodiscard]] bool intact() const;

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t slot_ = kNone;
};

}  // namespace caretd::engine
