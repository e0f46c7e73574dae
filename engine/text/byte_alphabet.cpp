#include "engine/text/byte_alphabet.h"

#include <array>

#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

constexpr int kAlphabetEnd = 0x100 + 68;

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> make_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    characters[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return characters;
}
constexpr auto kCharacterOfByte = make_characters();

constexpr std::array<int, kAlphabetEnd> make_bytes() {
  std::array<int, kAlphabetEnd> bytes{};
  for (int& byte : bytes) byte = -1;
  for (int byte = 0; byte < 256; ++byte) bytes[kCharacterOfByte[byte]] = byte;
  return bytes;
}
constexpr auto kByteOfCharacter = make_bytes();

}  // namespace

std::optional<std::string> bytes_of_vocabulary_entry(std::string_view entry) {
  std::string bytes;
  bytes.reserve(entry.size());
  for (std::size_t at = 0; at < entry.size();) {
    const Utf8Char c = decode_utf8(entry, at);
    if (c.length == 0 || c.code >= kAlphabetEnd || kByteOfCharacter[c.code] < 0) return {};
    bytes.push_back(static_cast<char>(kByteOfCharacter[c.code]));
    at += c.length;
  }
  return bytes;
}

std::string vocabulary_entry_of_byte(unsigned char byte) {
  std::string entry;
  append_utf8(entry, kCharacterOfByte[byte]);
  return entry;
}

}  // namespace caretd::engine
