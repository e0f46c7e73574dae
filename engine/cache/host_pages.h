// Host memory for copies of evicted device pages.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace caretd::engine {

/// A bounded number of equal slots. The memory of a slot is allocated when it is first used and
/// kept for the next copy.
class HostPages {
 public:
  HostPages(int slots, std::size_t page_bytes);

  /// Nothing when every slot is taken or the host is out of memory.
  [[nodiscard]] std::optional<int> acquire();
  void release(int slot);
  [[nodiscard]] std::span<std::byte> bytes(int slot);

  [[nodiscard]] int capacity() const { return capacity_; }
  [[nodiscard]] int used() const {
    return static_cast<int>(memory_.size()) - static_cast<int>(free_.size());
  }

 private:
  const int capacity_;
  const std::size_t page_bytes_;
  std::vector<std::unique_ptr<std::byte[]>> memory_;
  std::vector<int> free_;
};

}  // namespace caretd::engine
