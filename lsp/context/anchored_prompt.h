// The anchored prompt: begin [related] [path] P hole S end typed-so-far.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lsp/context/anchor.h"
#include "lsp/context/related.h"

namespace caretd::lsp {

/// What a document's prompts have in common from one keystroke to the next. A value: the caller
/// keeps it a document and hands it to the next call.
struct AnchoredContext {
  std::uint64_t revision = 0;  ///< Document::revision that `anchor` counts in
  Anchor anchor;
  std::vector<RelatedPiece> related;
};

/// Everything a prompt is made of.
struct AnchoredInput {
  const PromptQuery* query = nullptr;
  const CompletionSite* site = nullptr;
  const TokenBuffer* tokens = nullptr;  ///< of the query's document
  const SyntaxTree* tree = nullptr;     ///< of the query's document, or null
  PromptBudget budget;
  RelatedOptions related;
  std::string path;  ///< of the document, relative to the workspace; empty leaves the header out
  bool fill_in_the_middle = true;  ///< false: P and what is typed, left to right
  /// Called when a new anchor's P begins elsewhere than the old one's, or there was none: only then
  /// is what stands in front of P chosen anew. Empty: nothing is.
  std::function<std::vector<RelatedPiece>(const Anchor&)> find_related;
};

/// Whether to keep a prompt's anchor.
enum class Anchoring : std::uint8_t {
  keep,    ///< for a keystroke: keep the anchor wherever it still serves
  renew,   ///< in the background: end P at the hole's line
  rebuild  ///< on focus: choose everything anew, related context too
};

struct AnchoredPrompt {
  CompletionPrompt completion;
  AnchoredContext context;      ///< for the next call
  bool reanchored = false;      ///< P or S are not those of the previous context
  bool secret_at_hole = false;  ///< what is typed touches a secret: complete nothing here
};

/// `previous` is the context of the document's last prompt, `edits` lead from its revision to the
/// query's (nothing: they are not known, so the anchor is placed anew). A pure function.
[[nodiscard]] AnchoredPrompt build_anchored_prompt(
    const AnchoredInput& input, const AnchoredContext* previous,
    const std::optional<std::vector<ByteEdit>>& edits, Anchoring anchoring = Anchoring::keep);

/// The comment line that names a file: "# src/a.py\n"; empty where the language has no comments.
[[nodiscard]] std::string path_header(const Language& language, std::string_view path);

}  // namespace caretd::lsp
