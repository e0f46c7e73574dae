// Which pages of the runner's pool are taken.
#pragma once

#include <optional>
#include <vector>

#include "engine/runner.h"

namespace caretd::engine {

inline constexpr PageId kNoPage = -1;

/// Hands out the ids 0 .. capacity-1, each to one holder at a time. Freed pages are handed out
/// again first, while their memory is still warm.
class PagePool {
 public:
  explicit PagePool(int capacity);

  [[nodiscard]] std::optional<PageId> allocate();
  /// `page` must be taken.
  void free(PageId page);

  [[nodiscard]] int capacity() const { return static_cast<int>(taken_.size()); }
  [[nodiscard]] int used() const { return capacity() - static_cast<int>(free_.size()); }
  [[nodiscard]] bool is_taken(PageId page) const { return taken_[static_cast<size_t>(page)]; }

 private:
  std::vector<PageId> free_;
  std::vector<bool> taken_;
};

}  // namespace caretd::engine
