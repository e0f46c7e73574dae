#include "lsp/documents/position.h"

namespace caretd::lsp {
namespace {

std::size_t length_from_lead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;  // a continuation byte, or one that UTF-8 never uses
}

// The second byte excludes overlong forms, surrogates and code points above U+10FFFF
// (Unicode 15, table 3-7).
bool second_byte_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}

// Zero where no well-formed character begins at `offset`.
std::size_t well_formed_bytes(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const std::size_t length = length_from_lead(byte(0));
  if (length <= 1) return length;
  if (offset + length > text.size() || !second_byte_fits(byte(0), byte(1))) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::size_t character_bytes(std::string_view text, std::size_t offset) {
  const std::size_t length = well_formed_bytes(text, offset);
  return length == 0 ? 1 : length;
}

std::uint32_t code_units(std::size_t bytes, PositionEncoding encoding) {
  switch (encoding) {
    case PositionEncoding::utf8:
      return static_cast<std::uint32_t>(bytes);
    case PositionEncoding::utf16:
      return bytes == 4 ? 2 : 1;
    case PositionEncoding::utf32:
      return 1;
  }
  return 1;
}

std::uint32_t length_in(std::string_view text, PositionEncoding encoding) {
  if (encoding == PositionEncoding::utf8) return static_cast<std::uint32_t>(text.size());
  std::uint32_t units = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t bytes = character_bytes(text, offset);
    units += code_units(bytes, encoding);
    offset += bytes;
  }
  return units;
}

std::size_t byte_offset_in_line(std::string_view line, std::uint32_t character,
                                PositionEncoding encoding) {
  std::size_t offset = 0;
  std::uint32_t units = 0;
  while (offset < line.size()) {
    const std::size_t bytes = character_bytes(line, offset);
    units += code_units(bytes, encoding);
    if (units > character) break;
    offset += bytes;
  }
  return offset;
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t bytes = well_formed_bytes(text, offset);
    if (bytes == 0) return false;
    offset += bytes;
  }
  return true;
}

}  // namespace caretd::lsp
