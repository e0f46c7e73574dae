#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"

namespace caretd::engine {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Bytes at the start of ill-formed `bytes` that one U+FFFD stands for: the longest start of a
/// character, else one byte (Unicode 15, section 3.9, "substitution of maximal subparts").
std::size_t maximal_subpart(std::string_view bytes) {
  for (std::size_t length = 3; length > 1; --length) {
    if (bytes.size() >= length && unfinished_char(bytes.substr(0, length)) == length) {
      return length;
    }
  }
  return 1;
}

}  // namespace

std::string StreamingDetokenizer::push(std::string_view bytes) {
  held_ += bytes;
  std::string text;
  std::string_view rest = held_;
  while (true) {
    const std::size_t good = well_formed_prefix(rest);
    text += rest.substr(0, good);
    rest.remove_prefix(good);
    if (rest.empty() || unfinished_char(rest) == rest.size()) break;
    text += kReplacement;
    rest.remove_prefix(maximal_subpart(rest));
  }
  held_.erase(0, held_.size() - rest.size());
  return text;
}

std::string StreamingDetokenizer::finish() {
  std::string text(held_.empty() ? std::string_view() : kReplacement);
  held_.clear();
  return text;
}

}  // namespace caretd::engine
