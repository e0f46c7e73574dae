// White space: how the lines of a file are indented.
#pragma once

#include <cstddef>
#include <string_view>

#include "lsp/documents/text.h"

namespace caretd::lsp {

/// How the lines of a file are indented.
struct IndentStyle {
  bool tabs = false;
  int width = 4;  ///< columns of one level; of a tab where `tabs`
  /// False: no line near is indented, so `tabs` and `width` say nothing.
  bool known = true;

  friend bool operator==(const IndentStyle&, const IndentStyle&) = default;
};

/// Columns of the white space a line begins with; tabs count as `tab_width` columns.
[[nodiscard]] int indent_columns(std::string_view line, int tab_width);

[[nodiscard]] IndentStyle detect_indent(const Text& text, std::size_t around_line);

/// Without white space on either side.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace caretd::lsp
