#include "engine/cpu/kv_pages.h"

#include <algorithm>
#include <limits>
#include <string>

#include "kernels/cpu/kernels.h"

namespace caretd::engine {

Result<KvPages> KvPages::allocate(const ModelConfig& config, std::int64_t budget) {
  static_assert(kPageTokens == kernels::cpu::kKeysPerPage);
  KvPages pages;
  pages.layers_ = static_cast<std::size_t>(config.layers);
  pages.layer_floats_ =
      static_cast<std::size_t>(kPageTokens) * static_cast<std::size_t>(config.kv_width());
  const std::int64_t fitting = budget / pages.page_bytes();
  if (fitting < 1) {
    return fail(ErrorKind::invalid_input, "The KV budget of " + std::to_string(budget) +
                                              " bytes holds no page; give it at least " +
                                              std::to_string(pages.page_bytes()) + " bytes.");
  }
  pages.count_ =
      static_cast<int>(std::min<std::int64_t>(fitting, std::numeric_limits<PageId>::max()));
  // The attention kernel may read, and ignore, up to a tile of floats behind a page.
  const std::size_t slack = kernels::cpu::kTile * sizeof(float);
  auto memory = MappedMemory::allocate(
      static_cast<std::size_t>(pages.count_) * static_cast<std::size_t>(pages.page_bytes()) + slack,
      true);
  if (!memory) return pass_on(std::move(memory));
  pages.memory_ = std::move(*memory);
  return pages;
}

void KvPages::copy(PageId from, PageId to, int tokens) const {
  const std::size_t count =
      layer_floats_ / kPageTokens * static_cast<std::size_t>(std::clamp(tokens, 0, kPageTokens));
  for (std::size_t l = 0; l < layers_; ++l) {
    const float* source = layer(from, static_cast<int>(l));
    std::copy_n(source, count, layer(to, static_cast<int>(l)));
  }
}

}  // namespace caretd::engine
