#include "engine/verify/sequence_driver.h"

#include <cassert>

namespace caretd::engine {

Result<PageId> PageAllocator::take() {
  if (free_.empty()) {
    return fail(ErrorKind::out_of_memory,
                "the KV cache is too small for this sequence; raise model.kv_mebibytes");
  }
  const PageId page = free_.back();
  free_.pop_back();
  return page;
}

SequenceDriver::~SequenceDriver() {
  for (size_t i = shared_pages_; i < pages_.size(); ++i) allocator_.give_back(pages_[i]);
}

Result<std::span<const OutputRow>> SequenceDriver::append(std::span<const TokenId> tokens,
                                                          Output output, bool every_row) {
  const int end = length_ + static_cast<int>(tokens.size());
  while (static_cast<int>(pages_.size()) * kPageTokens < end) {
    auto page = allocator_.take();
    if (!page) return pass_on(std::move(page));
    pages_.push_back(*page);
  }
  const TokenRun run{.tokens = tokens,
                     .position = length_,
                     .pages = pages_,
                     .output = output,
                     .every_row = every_row};
  auto rows = runner_.forward(std::span(&run, 1));
  if (rows) length_ = end;
  return rows;
}

void SequenceDriver::rewind(int length) {
  assert(length <= length_ && length >= static_cast<int>(shared_pages_) * kPageTokens);
  length_ = length;
  const auto needed = static_cast<size_t>((length + kPageTokens - 1) / kPageTokens);
  while (pages_.size() > needed) {
    allocator_.give_back(pages_.back());
    pages_.pop_back();
  }
}

Result<void> SequenceDriver::share(const SequenceDriver& other, int length) {
  assert(pages_.empty() && length <= other.length_);
  shared_pages_ = static_cast<size_t>(length / kPageTokens);
  pages_.assign(other.pages_.begin(),
                other.pages_.begin() + static_cast<std::ptrdiff_t>(shared_pages_));
  length_ = length;
  const int rest = length % kPageTokens;
  if (rest == 0) return {};
  auto page = allocator_.take();
  if (!page) return pass_on(std::move(page));
  pages_.push_back(*page);
  return runner_.copy_page(other.pages_[shared_pages_], *page, rest);
}

}  // namespace caretd::engine
