// From a reply to an edit of the document: the usable code in it, indented and ended like the
// file's lines, checked by the grammar.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lsp/documents/document_store.h"
#include "lsp/features/chat/code_target.h"
#include "lsp/syntax/syntax_tree.h"
#include "support/result.h"

namespace caretd::lsp {

/// Replaces the document's bytes [begin, end).
struct ReplyEdit {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string text;
};

/// What an edit is made for.
struct EditSite {
  DocumentSnapshot document;
  SyntaxTreePtr tree;  ///< of the document
  CodeTarget target;
};

/// The code of a reply in the document's language: the one closed fenced block that is in it, or is
/// in no language. The Error says why there is none. `complete`: the model ended by itself.
[[nodiscard]] Result<std::string> usable_code(std::string_view reply, const Language& language,
                                              bool complete);

/// The target replaced by the reply's code, without the lines that stay as they are. An Error where
/// the code cannot be used: none there, no change, a target lost, a file that would no longer
/// parse.
[[nodiscard]] Result<ReplyEdit> replacement(const EditSite& site, std::string_view reply,
                                            bool complete, const Clock& clock);

/// The target with documentation: a reply with code replaces it as above if it defines the same
/// name; one of prose alone becomes its doc comment or doc string.
[[nodiscard]] Result<ReplyEdit> documentation(const EditSite& site, std::string_view reply,
                                              bool complete, const Clock& clock);

/// Tests in the language: the code of a reply as above, if it parses.
[[nodiscard]] Result<std::string> test_code(std::string_view reply, const Language& language,
                                            bool complete, const Clock& clock);

/// `code` with the indentation and the line ends of the document's line of `offset`, which the
/// first line of it goes to (so that one is not indented). No line end at the end.
[[nodiscard]] std::string fitted_code(std::string_view code, const Text& text, std::size_t offset);

}  // namespace caretd::lsp
