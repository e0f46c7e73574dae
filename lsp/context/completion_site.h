// Everything about the place of a completion that the decisions around it need: how far it may go,
// which brackets are open, what follows, how the file indents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lsp/context/indentation.h"
#include "lsp/context/prompt_parts.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// How far a completion may go. Decided by syntax, never by a guess of the client.
enum class Extent : std::uint8_t {
  line,       ///< to the end of the line: text behind the hole, inside a comment or a string
  statement,  ///< to the end of the statement, with the block that it opens
  block,      ///< to the end of the block around the hole, which is empty
  literal,    ///< to the end of the doc string or block comment that was just opened
};
[[nodiscard]] std::string_view to_string(Extent extent);

/// Text from bytes of a document; holds copies, so it may outlive the snapshot.
struct CompletionSite {
  const Language* language = nullptr;
  Extent extent = Extent::statement;
  /// Source that ends at the hole, from the start of the top-level node around it where that is
  /// near enough; begins at a line start.
  std::string before;
  SyntaxTreePtr before_tree;   ///< of `before`; null without a grammar
  std::size_t line_begin = 0;  ///< of the hole's line, in `before`
  std::string rest;            ///< of the hole's line behind the hole
  /// Leading bytes of `rest` that the completion may replace: closers and quotes whose openers
  /// are on the hole's line, as editors insert them.
  std::size_t replaceable = 0;
  /// The next lines that are not blank, as they are, without terminators.
  std::vector<std::string> following;
  std::string line_above;  ///< the last one that is not blank
  /// Brackets open at the hole, outermost first; the first `open_above` of them were opened above
  /// the hole's line.
  std::string open_brackets;
  std::size_t open_above = 0;
  /// How many of them the completion may close: those that nothing behind the hole closes, and
  /// those whose closers are replaceable.
  int closable = 0;
  bool in_comment = false;
  char quote = 0;            ///< of the string the hole is in, 0 if it is in none
  std::string literal_end;   ///< what ends an Extent::literal
  int block_indent = -1;     ///< columns of the line that opened the block, for Extent::block
  bool inside_word = false;  ///< word characters on both sides of the hole
  /// What stands in front of the hole is taken for a finished statement where the model says so by
  /// ending the line: the completion is the next one then. Nothing follows on the hole's line.
  bool may_begin_below = false;
  /// Statements end at a semicolon and at no line end: so the language wants it, or so the code in
  /// front of the hole is written.
  bool semicolons = false;
  IndentStyle indent;
  bool crlf = false;  ///< lines of the file end in CR LF

  [[nodiscard]] std::string_view typed() const {
    return std::string_view(before).substr(line_begin);
  }
};

/// `tree` is that of the query's document, or null. A pure function; any thread.
[[nodiscard]] CompletionSite describe_site(const PromptQuery& query, const Language& language,
                                           const SyntaxTree* tree);

/// The words of a line of code as far as they tell about blocks; comments are left out. `last` may
/// be punctuation. Views of the source.
struct LineWords {
  std::string_view first;
  std::string_view last;
  bool in_block = false;  ///< one of Language::block_words stands in it and is not closed

  void add(std::string_view word, const Language& language);
};

/// Whether a line opens a block that ends by indentation or a closing word.
[[nodiscard]] bool opens_block(const Language& language, const LineWords& words);

}  // namespace caretd::lsp
