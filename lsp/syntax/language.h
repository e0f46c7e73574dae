// What the server knows about a language: its grammar, how it comments, how its blocks begin and
// end. A language without a grammar is plain text with a comment syntax.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

extern "C" {
typedef struct TSLanguage TSLanguage;
}

namespace caretd::lsp {

/// How to write a comment. `line` is empty where the language has block comments only; all three
/// are empty where it has none (JSON) or where that is not known.
struct CommentSyntax {
  std::string_view line;
  std::string_view open;
  std::string_view close;
};

/// What a string that may go over several lines begins and ends with.
struct LongString {
  std::string_view open;
  std::string_view close;
};

/// What ends a block.
enum class BlockStyle : std::uint8_t {
  none,         ///< not known: only brackets and indentation count
  brackets,     ///< the closing brace or bracket
  indentation,  ///< the next line that is indented less
  keywords,     ///< a closing word: end, fi, done
  markup,       ///< a closing tag
};

/// Immutable, with static storage duration.
struct Language {
  std::string_view id;                           ///< the protocol's languageId
  std::span<const std::string_view> aliases;     ///< other ids that editors send for it
  std::span<const std::string_view> extensions;  ///< of files, with the dot, lower case
  const TSLanguage* (*grammar)() = nullptr;      ///< null: plain text
  CommentSyntax comment;
  std::span<const LongString> long_strings;
  BlockStyle blocks = BlockStyle::none;
  bool statements_end_at_semicolon = false;
  bool needs_semicolons = false;  ///< the end of a line never ends a statement
  /// Kinds of nodes whose named children are statements, members or entries of their own.
  std::span<const std::string_view> block_kinds;
  /// First words of lines that open a block without a bracket at the line's end.
  std::span<const std::string_view> block_heads;
  /// Words that open such a block wherever they stand on a line.
  std::span<const std::string_view> block_words;
  /// Last words of lines that open such a block ("then", "do", ":").
  std::span<const std::string_view> block_tails;
  /// First words of lines that go on with the statement a block belongs to ("else", "except").
  std::span<const std::string_view> block_middles;
  /// First words of lines that end such a block ("end", "fi").
  std::span<const std::string_view> block_ends;
  /// The line behind which text is code to the grammar; empty where all of it is.
  std::string_view code_tag;
  /// tree-sitter query for the definitions of a file (lsp/syntax/definitions.h); may be empty.
  std::string_view definitions_query;
};

/// Every language that has a grammar.
[[nodiscard]] std::span<const Language> grammar_languages();

/// Languages without a grammar whose comment syntax is known.
[[nodiscard]] std::span<const Language> plain_languages();

/// The language of a document. An id that is not known is tried as an alias, then by the extension
/// of `path` (a path or URI, may be empty), then it is plain text. Never fails.
[[nodiscard]] const Language& find_language(std::string_view language_id,
                                            std::string_view path = {});

/// What an unknown language is: no grammar, no comments.
[[nodiscard]] const Language& plain_text();

[[nodiscard]] bool contains(std::span<const std::string_view> words, std::string_view word);

}  // namespace caretd::lsp
