// The printable stand-ins of bytes in byte-level BPE vocabularies ("Ġ" for a space), as GPT-2
// introduced them (Radford et al. 2019; openai/gpt-2, encoder.py): printable Latin-1 bytes stand
// for themselves, the other 68 bytes for U+0100 onwards in ascending order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace caretd::engine {

/// The bytes that a vocabulary entry stands for; nothing if a character is outside the alphabet
/// or the entry is not UTF-8.
[[nodiscard]] std::optional<std::string> bytes_of_vocabulary_entry(std::string_view entry);

/// The stand-in of one byte, as UTF-8.
[[nodiscard]] std::string vocabulary_entry_of_byte(unsigned char byte);

}  // namespace caretd::engine
