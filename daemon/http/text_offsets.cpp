#include "daemon/http/text_offsets.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace caretd::daemon::api {

namespace {

/// Of well-formed UTF-8: bytes that begin a character.
std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

}  // namespace

TextOffsets::TextOffsets(std::shared_ptr<const engine::Tokenizer> tokenizer,
                         std::string forced_prefix, std::size_t begin)
    : text_(std::move(tokenizer), std::move(forced_prefix), {}), characters_(begin) {}

std::size_t TextOffsets::next(engine::TokenId id) {
  const std::size_t offset = characters_;
  characters_ += count_characters(text_.push(id));
  return offset;
}

std::size_t TextOffsets::end() {
  characters_ += count_characters(text_.finish());
  return characters_;
}

}  // namespace caretd::daemon::api
