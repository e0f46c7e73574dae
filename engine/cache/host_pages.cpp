#include "engine/cache/host_pages.h"

#include <new>
#include <utility>

namespace caretd::engine {

HostPages::HostPages(int slots, std::size_t page_bytes)
    : capacity_(slots), page_bytes_(page_bytes) {}

std::optional<int> HostPages::acquire() {
  if (!free_.empty()) {
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (static_cast<int>(memory_.size()) >= capacity_) return std::nullopt;
  std::unique_ptr<std::byte[]> slot(new (std::nothrow) std::byte[page_bytes_]);
  if (slot == nullptr) return std::nullopt;
  memory_.push_back(std::move(slot));
  return static_cast<int>(memory_.size()) - 1;
}

void HostPages::release(int slot) {
  free_.push_back(slot);
}

std::span<std::byte> HostPages::bytes(int slot) {
  return {memory_[static_cast<size_t>(slot)].get(), page_bytes_};
}

}  // namespace caretd::engine
