// The lexical tokens of a stretch of source: what brackets are brackets, what is in a string.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

enum class TokenClass : std::uint8_t {
  word,    ///< identifiers, keywords, numbers
  opener,  ///< one of ( [ {
  closer,  ///< one of ) ] }
  string,  ///< a whole literal, or the part of a broken one that the grammar recognised
  comment,
  punctuation,
};

/// Byte offsets of the source.
struct SourceToken {
  TokenClass cls = TokenClass::word;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The tokens that overlap [begin, end), in order. By the leaves of `tree`, which must be the tree
/// of `source`; without a tree (null) by quotes and the language's comment syntax, line by line.
[[nodiscard]] std::vector<SourceToken> source_tokens(const SyntaxTree* tree,
                                                     const Language& language,
                                                     std::string_view source, std::size_t begin,
                                                     std::size_t end);

/// The closing bracket for an opening one and the other way round; 0 for anything else.
[[nodiscard]] char matching_bracket(char bracket);

[[nodiscard]] bool is_word_character(char c);

}  // namespace caretd::lsp
