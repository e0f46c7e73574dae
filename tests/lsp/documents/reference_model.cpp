#include "tests/lsp/documents/reference_model.h"

#include <algorithm>

namespace caretd::test {
namespace {

std::uint32_t units(char32_t code_point, lsp::PositionEncoding encoding) {
  if (encoding == lsp::PositionEncoding::utf32) return 1;
  if (encoding == lsp::PositionEncoding::utf16) return code_point >= 0x10000 ? 2 : 1;
  return static_cast<std::uint32_t>(to_utf8(std::u32string(1, code_point)).size());
}

}  // namespace

std::string to_utf8(const std::u32string& text) {
  std::string bytes;
  for (const char32_t c : text) {
    if (c < 0x80) {
      bytes += static_cast<char>(c);
    } else if (c < 0x800) {
      bytes += static_cast<char>(0xC0 | (c >> 6));
      bytes += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      bytes += static_cast<char>(0xE0 | (c >> 12));
      bytes += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
      bytes += static_cast<char>(0x80 | (c & 0x3F));
    } else {
      bytes += static_cast<char>(0xF0 | (c >> 18));
      bytes += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
      bytes += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
      bytes += static_cast<char>(0x80 | (c & 0x3F));
    }
  }
  return bytes;
}

std::string ReferenceText::utf8() const {
  return to_utf8(text_);
}

std::vector<ReferenceText::Line> ReferenceText::lines() const {
  std::vector<Line> lines;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] != U'\n' && text_[i] != U'\r') continue;
    lines.push_back({begin, i});
    if (text_[i] == U'\r' && i + 1 < text_.size() && text_[i + 1] == U'\n') ++i;
    begin = i + 1;
  }
  lines.push_back({begin, text_.size()});
  return lines;
}

std::size_t ReferenceText::index_at(lsp::Position position, lsp::PositionEncoding encoding) const {
  const std::vector<Line> all = lines();
  if (position.line >= all.size()) return text_.size();
  const Line line = all[position.line];
  std::uint32_t passed = 0;
  for (std::size_t i = line.begin; i < line.end; ++i) {
    passed += units(text_[i], encoding);
    if (passed > position.character) return i;
  }
  return line.end;
}

void ReferenceText::replace(lsp::Range range, const std::u32string& with,
                            lsp::PositionEncoding encoding) {
  std::size_t begin = index_at(range.start, encoding);
  std::size_t end = index_at(range.end, encoding);
  if (end < begin) std::swap(begin, end);
  text_.replace(begin, end - begin, with);
}

std::u32string random_text(std::mt19937& random, int longest) {
  static const std::u32string kAwkward =
      U"\r\n\r\n\t "
      U"ab{}é\u0301\u07FF\u0800\uFFFD\uD7FF\uE000\U00010000\U0001F600\U0010FFFF\u2028\u0085";
  std::u32string text;
  const int length = std::uniform_int_distribution<>(0, longest)(random);
  for (int i = 0; i < length; ++i) {
    if (random() % 4 != 0) {
      text += kAwkward[random() % kAwkward.size()];
      continue;
    }
    const auto code_point = static_cast<char32_t>(random() % 0x110000);
    text += code_point >= 0xD800 && code_point < 0xE000 ? U'x' : code_point;
  }
  return text;
}

lsp::Position random_position(std::mt19937& random, std::uint32_t lines) {
  return {static_cast<std::uint32_t>(random() % (lines + 2)),
          static_cast<std::uint32_t>(random() % (random() % 10 == 0 ? 4000000000U : 24U))};
}

}  // namespace caretd::test
