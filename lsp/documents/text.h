// The text of one document version: bytes and where its lines begin.
//
// A version is one contiguous string. Copying the 80 KB of a 2,000-line file costs some 10
// microseconds, far below what a tree of pieces would cost every reader (the parser, the
// tokenizer, the prompt), all of which want plain bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/documents/position.h"

namespace caretd::lsp {

/// Zero-based line and byte column, the form in which tree-sitter counts (TSPoint).
struct TextPoint {
  std::uint32_t row = 0;
  std::uint32_t column = 0;

  friend bool operator==(const TextPoint&, const TextPoint&) = default;
};

/// One replacement in byte offsets, as TSInputEdit wants it. `start` and `old_end` count in the
/// text before this edit, `new_end` in the text after it. Rows are those of Text, which also ends
/// lines at a lone CR (tree-sitter does not).
struct ByteEdit {
  std::size_t start = 0;
  std::size_t old_end = 0;
  std::size_t new_end = 0;
  TextPoint start_point;
  TextPoint old_end_point;
  TextPoint new_end_point;
};

/// Bytes with a line index. Lines end at LF, CRLF or a lone CR, as the protocol says. Any bytes are
/// accepted; documents of a session are valid UTF-8. Reading is thread-safe; replace() is for the
/// one who prepares the next version of a document.
class Text {
 public:
  Text() : Text(std::string()) {}
  explicit Text(std::string bytes);

  [[nodiscard]] std::string_view view() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }

  /// At least 1: text that ends with a line terminator has an empty last line.
  [[nodiscard]] std::size_t line_count() const { return line_starts_.size(); }
  /// Byte offsets at which the lines begin; ascending, the first is 0.
  [[nodiscard]] const std::vector<std::uint32_t>& line_starts() const { return line_starts_; }
  /// `line` must be below line_count().
  [[nodiscard]] std::size_t line_start(std::size_t line) const { return line_starts_[line]; }
  /// Where the line's text ends, before its terminator.
  [[nodiscard]] std::size_t line_end(std::size_t line) const;
  /// The line without its terminator.
  [[nodiscard]] std::string_view line(std::size_t line) const;
  /// The line that contains byte `offset` (clamped to the text).
  [[nodiscard]] std::size_t line_of(std::size_t offset) const;

  /// Clamps as the protocol says: a line behind the last is the end of the text, a character
  /// behind the end of its line is the end of that line.
  [[nodiscard]] std::size_t offset_at(Position position, PositionEncoding encoding) const;
  /// The position of byte `offset` (clamped to the text; inside a line terminator: the line's end).
  [[nodiscard]] Position position_at(std::size_t offset, PositionEncoding encoding) const;
  [[nodiscard]] TextPoint point_at(std::size_t offset) const;

  /// Replaces the bytes [begin, end) and keeps the line index right. begin <= end <= size().
  ByteEdit replace(std::size_t begin, std::size_t end, std::string_view with);

 private:
  [[nodiscard]] bool starts_line(std::size_t offset) const;

  std::string bytes_;
  std::vector<std::uint32_t> line_starts_;
};

}  // namespace caretd::lsp
