#include "engine/text/byte_escape.h"

namespace caretd::engine {
namespace {

constexpr char kLead = '\xED';

/// U+DC80 to U+DCFF would be ED B2 80 to ED B3 BF.
constexpr std::size_t kEscapeLength = 3;

bool is_escape(std::string_view text, std::size_t at) {
  return looks_like_escape(text, at) && at + 2 < text.size() &&
         (static_cast<unsigned char>(text[at + 2]) & 0xC0) == 0x80;
}

}  // namespace

std::string escape_of_byte(unsigned char byte) {
  return {kLead, static_cast<char>(0xB0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3F))};
}

bool looks_like_escape(std::string_view text, std::size_t at) {
  return at + 1 < text.size() && text[at] == kLead &&
         (text[at + 1] == '\xB2' || text[at + 1] == '\xB3');
}

std::string unescape_bytes(std::string bytes) {
  std::size_t written = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    if (is_escape(bytes, at)) {
      const auto high = static_cast<unsigned char>(bytes[at + 1]) & 0x03U;
      const auto low = static_cast<unsigned char>(bytes[at + 2]) & 0x3FU;
      bytes[written++] = static_cast<char>(high << 6 | low);
      at += kEscapeLength;
    } else {
      bytes[written++] = bytes[at++];
    }
  }
  bytes.resize(written);
  return bytes;
}

}  // namespace caretd::engine
