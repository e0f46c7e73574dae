// One sequence on a Runner, driven step by step: for verification and benchmarks, which need the
// paths that the scheduler chooses by itself.
#pragma once

#include <span>
#include <vector>

#include "engine/runner.h"

namespace caretd::engine {

/// Hands out a runner's pages. Not thread-safe.
class PageAllocator {
 public:
  explicit PageAllocator(int pages) : free_(static_cast<size_t>(pages)) {
    for (int i = 0; i < pages; ++i) free_[static_cast<size_t>(i)] = pages - 1 - i;
  }
  [[nodiscard]] Result<PageId> take();
  void give_back(PageId page) { free_.push_back(page); }

 private:
  std::vector<PageId> free_;
};

/// Tokens in pages. Both the runner and the allocator must outlive it; the destructor gives back
/// the pages it took (not the ones it shares).
class SequenceDriver {
 public:
  SequenceDriver(Runner& runner, PageAllocator& allocator)
      : runner_(runner), allocator_(allocator) {}
  ~SequenceDriver();
  SequenceDriver(const SequenceDriver&) = delete;
  SequenceDriver& operator=(const SequenceDriver&) = delete;

  [[nodiscard]] int length() const { return length_; }

  /// Appends tokens in one forward() and returns its rows, which are valid until the next one.
  [[nodiscard]] Result<std::span<const OutputRow>> append(std::span<const TokenId> tokens,
                                                          Output output, bool every_row);

  /// Forgets the tokens from `length` on.
  void rewind(int length);

  /// Starts this empty sequence with the first `length` tokens of another: full pages are shared,
  /// the last one is copied. The other one must outlive this one and not be rewound below it.
  [[nodiscard]] Result<void> share(const SequenceDriver& other, int length);

 private:
  Runner& runner_;
  PageAllocator& allocator_;
  std::vector<PageId> pages_;
  size_t shared_pages_ = 0;
  int length_ = 0;
};

}  // namespace caretd::engine
