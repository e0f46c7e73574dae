// Which tokens agree with given bytes: the question token healing asks at every keystroke.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/types.h"

namespace caretd::engine {

/// The ids sorted by their bytes. Immutable after creation; thread-safe.
class ByteIndex {
 public:
  ByteIndex() = default;
  /// `bytes[id]` is what id stands for; ids with empty bytes are left out. The views must stay
  /// valid for as long as the index lives.
  explicit ByteIndex(std::span<const std::string_view> bytes);

  /// See Tokenizer::agreeing_with. Cost: a few binary searches and the length of the answer.
  [[nodiscard]] std::vector<TokenId> agreeing_with(std::string_view prefix) const;
  /// See Tokenizer::has_longer_token.
  [[nodiscard]] bool has_longer_than(std::string_view prefix) const;

 private:
  struct Entry {
    std::string_view bytes;
    TokenId id = 0;
  };
  std::vector<Entry> entries_;  ///< ascending by bytes
  std::size_t longest_ = 0;
  TokenId end_id_ = 0;
};

}  // namespace caretd::engine
