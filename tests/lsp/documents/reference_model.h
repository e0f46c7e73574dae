// A slow, obvious model of a document: code points in a vector, every answer computed from scratch.
// What the document store is compared with.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "lsp/documents/position.h"

namespace caretd::test {

class ReferenceText {
 public:
  explicit ReferenceText(std::u32string text = U"") : text_(std::move(text)) {}

  [[nodiscard]] std::string utf8() const;
  [[nodiscard]] const std::u32string& code_points() const { return text_; }

  /// Index of the code point at a position, clamped and rounded down as LSP and Text say.
  [[nodiscard]] std::size_t index_at(lsp::Position position, lsp::PositionEncoding encoding) const;
  void replace(lsp::Range range, const std::u32string& with, lsp::PositionEncoding encoding);

 private:
  struct Line {
    std::size_t begin;
    std::size_t end;  // before the terminator
  };
  [[nodiscard]] std::vector<Line> lines() const;

  std::u32string text_;
};

[[nodiscard]] std::string to_utf8(const std::u32string& text);

/// Text of a few characters that likes line ends, surrogate pairs and combining marks.
[[nodiscard]] std::u32string random_text(std::mt19937& random, int longest);

/// A position in or somewhat beyond the text.
[[nodiscard]] lsp::Position random_position(std::mt19937& random, std::uint32_t lines);

}  // namespace caretd::test
