#include "engine/cache/page_pool.h"

#include <algorithm>
#include <cassert>
#include <numeric>

namespace caretd::engine {

PagePool::PagePool(int capacity)
    : free_(static_cast<size_t>(capacity)), taken_(static_cast<size_t>(capacity), false) {
  std::iota(free_.begin(), free_.end(), 0);
  std::reverse(free_.begin(), free_.end());
}

std::optional<PageId> PagePool::allocate() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  taken_[static_cast<size_t>(page)] = true;
  return page;
}

void PagePool::free(PageId page) {
  assert(is_taken(page));
  taken_[static_cast<size_t>(page)] = false;
  free_.push_back(page);
}

}  // namespace caretd::engine
