// Strings and comments around a hole, or just opened in front of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

[[nodiscard]] bool is_comment(TSNode node);

/// The literal or comment that byte `hole` is strictly inside of; a line comment also at its end.
/// `tree` may be null.
[[nodiscard]] std::optional<TSNode> literal_around(const SyntaxTree* tree, std::size_t hole);

/// What is still open at the end of a line, by scanning it: for text without a tree and for strings
/// that are not closed yet, which no grammar recognises.
struct LineScan {
  char quote = 0;  ///< of an open string, 0 for none
  bool comment = false;
};
[[nodiscard]] LineScan scan_line(const Language& language, std::string_view line);

/// Where the string or block comment begins that is still open at the end of `text`, which begins
/// in code; npos where none is. A string of one line is open until the line ends.
[[nodiscard]] std::size_t open_literal(const Language& language, std::string_view text);

/// What ends the literal that was just opened by the end of `typed`: """, ''' or the end of a
/// block comment; empty if none was.
[[nodiscard]] std::string_view opened_literal(const Language& language, std::string_view typed);

}  // namespace caretd::lsp
