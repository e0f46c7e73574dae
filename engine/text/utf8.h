// UTF-8 as the tokenizer needs it: one character at a time, well-formed or not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace caretd::engine {

/// One decoded character. `length` is 0 where the bytes are not well-formed UTF-8.
struct Utf8Char {
  char32_t code = 0;
  std::size_t length = 0;  ///< in bytes, 1 to 4
};

/// Decodes the character at `at` (at < text.size()). Overlong forms, surrogates and code points
/// above U+10FFFF are ill-formed (Unicode 15, table 3-7).
[[nodiscard]] Utf8Char decode_utf8(std::string_view text, std::size_t at);

/// Bytes from the start of `text` that are well-formed UTF-8.
[[nodiscard]] std::size_t well_formed_prefix(std::string_view text);

/// Length of the longest start of `text` that begins a well-formed character without completing
/// it, or 0: the bytes worth waiting for.
[[nodiscard]] std::size_t unfinished_char(std::string_view text);

void append_utf8(std::string& out, char32_t code);

}  // namespace caretd::engine
