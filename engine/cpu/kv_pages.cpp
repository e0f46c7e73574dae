#include "engine/cpu/kv_pages.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace caretd::engine {

namespace cpu = kernels::cpu;

Result<KvPages> KvPages::allocate(const ModelConfig& config, std::int64_t budget,
                                  cpu::Format format) {
  static_assert(kPageTokens == cpu::kKeysPerPage);
  KvPages pages;
  pages.layers_ = static_cast<std::size_t>(config.layers);
  pages.format_ = format;
  pages.key_bytes_ = static_cast<std::size_t>(cpu::key_width(config.kv_width())) *
                     static_cast<std::size_t>(cpu::size_of(format));
  const std::int64_t fitting = budget / pages.page_bytes();
  if (fitting < 1) {
    return fail(ErrorKind::invalid_input, "The KV budget of " + std::to_string(budget) +
                                              " bytes holds no page; give it at least " +
                                              std::to_string(pages.page_bytes()) + " bytes.");
  }
  pages.count_ =
      static_cast<int>(std::min<std::int64_t>(fitting, std::numeric_limits<PageId>::max()));
  // The attention kernel may read, and ignore, up to a tile of numbers behind a page.
  const std::size_t slack = cpu::kTile * sizeof(float);
  auto memory = MappedMemory::allocate(
      static_cast<std::size_t>(pages.count_) * static_cast<std::size_t>(pages.page_bytes()) + slack,
      true);
  if (!memory) return pass_on(std::move(memory));
  pages.memory_ = std::move(*memory);
  return pages;
}

void KvPages::copy(PageId from, PageId to, int tokens) const {
  const std::size_t count =
      key_bytes_ * static_cast<std::size_t>(std::clamp(tokens, 0, kPageTokens));
  for (int l = 0; std::cmp_less(l, layers_); ++l) std::copy_n(layer(from, l), count, layer(to, l));
}

}  // namespace caretd::engine
