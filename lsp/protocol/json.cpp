#include "lsp/protocol/json.h"

#include <algorithm>

#include "lsp/documents/position.h"

namespace caretd::lsp {
namespace {

bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxJsonDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

std::string with_valid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t bytes = character_bytes(text, offset);
    const std::string_view character = text.substr(offset, bytes);
    valid += is_valid_utf8(character) ? character : std::string_view("\uFFFD");
    offset += bytes;
  }
  return valid;
}

// The code unit of the escape "\uXXXX" at `offset`, -1 where there is none.
int escaped_unit(std::string_view text, std::size_t offset) {
  if (offset + 6 > text.size() || text[offset] != '\\' || text[offset + 1] != 'u') return -1;
  int unit = 0;
  for (std::size_t i = offset + 2; i < offset + 6; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (std::isxdigit(c) == 0) return -1;
    unit = unit * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return unit;
}

bool is_high_surrogate(int unit) {
  return unit >= 0xD800 && unit < 0xDC00;
}
bool is_low_surrogate(int unit) {
  return unit >= 0xDC00 && unit < 0xE000;
}

void replace_lone_surrogates(std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') continue;
    const int unit = escaped_unit(text, i);
    if (unit < 0) {
      ++i;  // an escape of two characters
    } else if (is_high_surrogate(unit) && is_low_surrogate(escaped_unit(text, i + 6))) {
      i += 11;
    } else {
      if (is_high_surrogate(unit) || is_low_surrogate(unit)) text.replace(i, 6, "\\ufffd");
      i += 5;
    }
  }
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (too_deep(text)) {
    return fail(ErrorKind::invalid_input,
                "The JSON is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels.");
  }
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_discarded()) return json;
  std::string repaired = with_valid_utf8(text);
  replace_lone_surrogates(repaired);
  json = Json::parse(repaired, nullptr, false);
  if (!json.is_discarded()) return json;
  return fail(ErrorKind::invalid_input, "The message is not valid JSON.");
}

std::string to_string(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace caretd::lsp
