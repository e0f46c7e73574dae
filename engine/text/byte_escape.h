// Bytes for which a vocabulary has no token. The published DeepSeek vocabularies leave out the 13
// bytes that never occur in UTF-8 (C0, C1, F5 to FF). Such a byte b is written the way Python's
// "surrogateescape" does (PEP 383): as the three bytes that would encode U+DC00 + b, which are
// ill-formed UTF-8 and so cannot be mistaken for text. An ED byte that would look like the start
// of an escape is escaped itself, so that every byte string survives the round trip.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace caretd::engine {

/// The escape of a byte of 0x80 or above.
[[nodiscard]] std::string escape_of_byte(unsigned char byte);

/// True if text at `at` must not be written as it is because unescape_bytes would change it.
[[nodiscard]] bool looks_like_escape(std::string_view text, std::size_t at);

/// Undoes the escapes in decoded bytes.
[[nodiscard]] std::string unescape_bytes(std::string bytes);

}  // namespace caretd::engine
