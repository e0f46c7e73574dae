// The pool of KV pages of the CPU runner: float32, [page][layer][kPageTokens][kv_width].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/checkpoint/model_config.h"
#include "engine/cpu/memory.h"
#include "engine/runner.h"

namespace caretd::engine {

/// Memory of a page is committed when the page is first written.
class KvPages {
 public:
  /// As many pages as `budget` bytes hold; fails when that is none.
  [[nodiscard]] static Result<KvPages> allocate(const ModelConfig& config, std::int64_t budget);

  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] std::int64_t page_bytes() const {
    return static_cast<std::int64_t>(layers_ * layer_floats_ * sizeof(float));
  }
  [[nodiscard]] bool contains(PageId page) const { return page >= 0 && page < count_; }

  /// One layer of a page, [kPageTokens][kv_width].
  [[nodiscard]] float* layer(PageId page, int layer) const {
    return floats() + (static_cast<std::size_t>(page) * layers_ + static_cast<std::size_t>(layer)) *
                          layer_floats_;
  }
  [[nodiscard]] std::span<std::byte> bytes(PageId page) const {
    return memory_.bytes().subspan(
        static_cast<std::size_t>(page) * static_cast<std::size_t>(page_bytes()),
        static_cast<std::size_t>(page_bytes()));
  }
  /// Copies the first `tokens` rows of every layer.
  void copy(PageId from, PageId to, int tokens) const;

 private:
  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(memory_.bytes().data()); }

  MappedMemory memory_;
  int count_ = 0;
  std::size_t layers_ = 0;
  std::size_t layer_floats_ = 0;
};

}  // namespace caretd::engine
