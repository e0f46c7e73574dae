// Positions as the protocol counts them: zero-based line and character, where a character is a
// code unit of the negotiated encoding (LSP 3.18, "Position Encoding Kind").
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace caretd::lsp {

/// The unit of Position::character, chosen by the server from what the client offers.
enum class PositionEncoding : std::uint8_t { utf8, utf16, utf32 };

struct Position {
  std::uint32_t line = 0;
  std::uint32_t character = 0;

  friend auto operator<=>(const Position&, const Position&) = default;
};

/// Half open: the character at `end` is outside.
struct Range {
  Position start;
  Position end;

  friend bool operator==(const Range&, const Range&) = default;
};

/// Bytes of the UTF-8 character that begins at `offset`, 1 where the bytes are no character.
/// `offset` must be inside the text.
[[nodiscard]] std::size_t character_bytes(std::string_view text, std::size_t offset);

/// Code units that a character of `bytes` UTF-8 bytes takes in `encoding`.
[[nodiscard]] std::uint32_t code_units(std::size_t bytes, PositionEncoding encoding);

/// Code units of the whole of `text`.
[[nodiscard]] std::uint32_t length_in(std::string_view text, PositionEncoding encoding);

/// Byte offset of code unit `character` in `line` (a line without its terminator). Beyond the end:
/// the end. Inside a character (a surrogate pair, a multi-byte sequence): where it begins.
[[nodiscard]] std::size_t byte_offset_in_line(std::string_view line, std::uint32_t character,
                                              PositionEncoding encoding);

/// Whether `text` is well-formed UTF-8 (no overlong forms, no surrogates).
[[nodiscard]] bool is_valid_utf8(std::string_view text);

}  // namespace caretd::lsp
