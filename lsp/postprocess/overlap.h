// What a completion must not repeat.
#pragma once

#include <string>
#include <string_view>

namespace caretd::lsp {

/// Removes from the end of `completion` what the document has behind the hole anyway: the rest of
/// the line `behind` begins with (`x)` before `)` becomes `x`), and whole lines that follow.
[[nodiscard]] std::string without_overlap(std::string completion, std::string_view behind);

}  // namespace caretd::lsp
