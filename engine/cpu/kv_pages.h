// The pool of KV pages of the CPU runner: float16 or float32,
// [page][layer][kPageTokens][key_width(kv_width)].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/checkpoint/model_config.h"
#include "engine/cpu/memory.h"
#include "engine/runner.h"
#include "kernels/cpu/kernels.h"

namespace caretd::engine {

/// Memory of a page is committed when the page is first written.
class KvPages {
 public:
  /// As many pages as `budget` bytes hold; fails when that is none. `format` is f16 or f32.
  [[nodiscard]] static Result<KvPages> allocate(const ModelConfig& config, std::int64_t budget,
                                                kernels::cpu::Format format);

  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] kernels::cpu::Format format() const { return format_; }
  [[nodiscard]] std::int64_t page_bytes() const {
    return static_cast<std::int64_t>(layers_ * kPageTokens * key_bytes_);
  }
  [[nodiscard]] bool contains(PageId page) const { return page >= 0 && page < count_; }

  /// One layer of a page, [kPageTokens] keys.
  [[nodiscard]] std::byte* layer(PageId page, int layer) const {
    const std::size_t index =
        static_cast<std::size_t>(page) * layers_ + static_cast<std::size_t>(layer);
    return memory_.bytes().data() + index * kPageTokens * key_bytes_;
  }
  [[nodiscard]] std::byte* key(PageId page, int layer, int slot) const {
    return this->layer(page, layer) + static_cast<std::size_t>(slot) * key_bytes_;
  }
  [[nodiscard]] std::span<std::byte> bytes(PageId page) const {
    return memory_.bytes().subspan(
        static_cast<std::size_t>(page) * static_cast<std::size_t>(page_bytes()),
        static_cast<std::size_t>(page_bytes()));
  }
  /// Copies the first `tokens` rows of every layer.
  void copy(PageId from, PageId to, int tokens) const;

 private:
  MappedMemory memory_;
  int count_ = 0;
  std::size_t layers_ = 0;
  std::size_t key_bytes_ = 0;
  kernels::cpu::Format format_ = kernels::cpu::Format::f32;
};

}  // namespace caretd::engine
