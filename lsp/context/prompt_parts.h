// What goes into the prompt of a completion: the question and the answer of a context builder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "lsp/documents/document_store.h"

namespace caretd::lsp {

/// The hole that is to be filled. The text in front of it is the document's bytes [0, before)
/// followed by `pending`; the text behind it begins at byte `after`. Usually before == after == the
/// cursor and `pending` is empty; it is not where the completion popup has an item selected
/// (selectedCompletionInfo) or where a shown suggestion is taken as accepted.
struct PromptQuery {
  DocumentSnapshot document;
  std::size_t before = 0;
  std::string pending;
  std::size_t after = 0;
};

/// Sizes in tokens.
struct PromptBudget {
  int tokens = 1024;           ///< of the whole prompt, control tokens included
  double suffix_share = 0.25;  ///< of what prefix and suffix have together; unused parts are lent
};

enum class PieceKind : std::uint8_t {
  path,         ///< the file's name as a comment
  definition,   ///< of an identifier near the cursor, from another file
  recent_edit,  ///< a region edited a moment ago
  prefix,
  suffix,
  typed  ///< the forced start of the middle
};
[[nodiscard]] std::string_view to_string(PieceKind kind);

/// One piece of the prompt, for `caretd/why`. In prompt order.
struct PromptPiece {
  PieceKind kind = PieceKind::prefix;
  std::string source;     ///< URI of the document it comes from
  std::size_t begin = 0;  ///< bytes of that document
  std::size_t end = 0;
  int tokens = 0;
};

/// What the engine is given.
struct CompletionPrompt {
  engine::Prompt prompt;
  /// Bytes the output must begin with and does not repeat: typed text, the healed token.
  std::string forced_prefix;
  /// The completion replaces the document's bytes [query.after, replace_end): closers that the
  /// editor inserted by itself. At least query.after, on the same line.
  std::size_t replace_end = 0;
  std::vector<PromptPiece> pieces;
};

}  // namespace caretd::lsp
