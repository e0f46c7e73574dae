// Text that has begun to repeat itself and would go on until the tokens run out.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace caretd::lsp {

/// Where `text` ends in the same few characters again and again ("~~~~~", `+ "x" + "x" + "x"`):
/// the offset behind the first of them; nothing where it does not. At least four in a row and
/// `least` bytes are a repetition, so that tables and rulers of ordinary size are none; nor is
/// indentation.
[[nodiscard]] std::optional<std::size_t> begin_of_repetition(std::string_view text,
                                                             std::size_t least = 40);

}  // namespace caretd::lsp
