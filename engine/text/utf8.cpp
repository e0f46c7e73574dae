#include "engine/text/utf8.h"

#include <algorithm>

namespace caretd::engine {
namespace {

unsigned byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

/// What a lead byte announces: how many bytes, and the range of the second one.
struct Lead {
  std::size_t length = 0;
  unsigned second_low = 0x80;
  unsigned second_high = 0xBF;
};

Lead lead_of(unsigned byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

/// How many bytes of the character that `lead` announces are there and well-formed.
std::size_t present(std::string_view text, std::size_t at, const Lead& lead) {
  const std::size_t available = std::min(lead.length, text.size() - at);
  std::size_t good = std::min<std::size_t>(available, 1);
  while (good < available) {
    const unsigned low = good == 1 ? lead.second_low : 0x80;
    const unsigned high = good == 1 ? lead.second_high : 0xBF;
    const unsigned byte = byte_at(text, at + good);
    if (byte < low || byte > high) break;
    ++good;
  }
  return good;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, std::size_t at) {
  const unsigned first = byte_at(text, at);
  if (first < 0x80) return {first, 1};
  const Lead lead = lead_of(first);
  if (lead.length == 0 || present(text, at, lead) < lead.length) return {};
  char32_t code = first & (0x7FU >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3F);
  return {code, lead.length};
}

std::size_t well_formed_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = decode_utf8(text, at).length;
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::size_t unfinished_char(std::string_view text) {
  if (text.empty()) return 0;
  const Lead lead = lead_of(byte_at(text, 0));
  if (lead.length < 2 || text.size() >= lead.length) return 0;
  return present(text, 0, lead) == text.size() ? text.size() : 0;
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace caretd::engine
