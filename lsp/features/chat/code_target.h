// What a code action acts on, by the syntax tree.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "lsp/syntax/definitions.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// A piece of source: bytes [begin, end). It begins behind the white space of its first line and
/// ends in front of the terminator of its last.
struct CodeTarget {
  enum class Shape : unsigned char { function, type, value, lines };

  std::size_t begin = 0;
  std::size_t end = 0;
  std::string name;  ///< of the definition; empty for lines
  Shape shape = Shape::lines;

  [[nodiscard]] std::string_view of(std::string_view source) const {
    return source.substr(begin, end - begin);
  }
};

/// The innermost function, type or value that is defined around [begin, end), with its decorators.
/// Nothing where there is none.
[[nodiscard]] std::optional<CodeTarget> enclosing_definition(const SyntaxTree& tree,
                                                             DefinitionFinder& finder,
                                                             std::string_view source,
                                                             std::size_t begin, std::size_t end);

/// The statements that [begin, end) touches: whole lines, widened to whole nodes. Nothing where
/// there is no code.
[[nodiscard]] std::optional<CodeTarget> touched_code(const SyntaxTree& tree,
                                                     std::string_view source, std::size_t begin,
                                                     std::size_t end);

/// The node of a definition's own kind in [target.begin, target.end): without its decorators.
[[nodiscard]] TSNode definition_node(const SyntaxTree& tree, const CodeTarget& target);

}  // namespace caretd::lsp
