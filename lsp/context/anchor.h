// Where the prompt of an open file is anchored: the stretch P of the file in front of the hole, the
// stretch S behind it. As long as an anchor holds, keystrokes leave P and S equal byte for byte and
// their KV stays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lsp/context/completion_site.h"
#include "lsp/context/prompt_parts.h"
#include "lsp/documents/token_buffer.h"

namespace caretd::lsp {

/// Bytes of one revision of a document. [prefix_begin, prefix_end) is P, whole lines;
/// [suffix_begin, suffix_end) is S; between them lies the hole with the line being edited.
struct Anchor {
  std::size_t prefix_begin = 0;
  std::size_t prefix_end = 0;
  std::size_t suffix_begin = 0;
  std::size_t suffix_end = 0;

  friend bool operator==(const Anchor&, const Anchor&) = default;
};

/// An anchor after edits: where its parts are now, and which of them still hold the same text.
struct CarriedAnchor {
  Anchor anchor;
  bool begin_known = false;  ///< prefix_begin is where it was
  bool prefix_intact = false;
  bool suffix_intact = false;
};
[[nodiscard]] CarriedAnchor carry(const Anchor& anchor, std::span<const ByteEdit> edits);

/// Tokens that P and S may take.
struct AnchorBudget {
  int prefix = 700;
  int suffix = 220;
};

/// Bytes typed behind P until which an anchor is kept although the line has changed.
inline constexpr std::size_t kTypedBytesAtMost = 600;

/// Whether the anchor still serves the hole: P and S are intact, the hole lies between them, and
/// behind it nothing but replaceable text comes before S.
[[nodiscard]] bool serves(const CarriedAnchor& carried, const PromptQuery& query,
                          const CompletionSite& site);

/// Whether a prompt should be anchored afresh in the background once the editor rests: the hole is
/// on another line than the one P ends in front of.
[[nodiscard]] bool is_stale(const Anchor& anchor, const PromptQuery& query);

/// A new anchor for the hole. P ends where the hole's line begins and starts at a top-level node;
/// where the previous start (if `previous` knows it) still fits the budget it stays, else P is cut
/// to three quarters of the budget, so that starts move in strides of at least a quarter. S starts
/// behind what the completion may replace and ends where a statement does, or within the hole's
/// line where that is longer than the budget; an intact one that starts there is taken over. `tree`
/// may be null. A pure function.
[[nodiscard]] Anchor place_anchor(const PromptQuery& query, const CompletionSite& site,
                                  const TokenBuffer& tokens, const SyntaxTree* tree,
                                  const AnchorBudget& budget,
                                  const std::optional<CarriedAnchor>& previous);

}  // namespace caretd::lsp
