// Where a completion ends, decided inside the decode loop.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace caretd::lsp {

/// One per request; used by one thread at a time (the engine's), so it must be quick.
class StopRule {
 public:
  virtual ~StopRule() = default;

  /// `text` is everything generated so far; it only grows. Returns how many of its bytes are the
  /// completion when decoding is to end, nothing to go on.
  [[nodiscard]] virtual std::optional<std::size_t> end_of_completion(std::string_view text) = 0;

  /// Why the last call said stop, in a word for `caretd/why` ("line", "statement", "closer", ...).
  [[nodiscard]] virtual std::string_view reason() const = 0;
};

}  // namespace caretd::lsp
