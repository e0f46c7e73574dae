// From offers, in bytes of a snapshot, to the items an editor shows.
#pragma once

#include "lsp/features/suggestion.h"
#include "lsp/protocol/types.h"

namespace caretd::lsp {

/// What the client asked about, with the popup's selected item in place of what it replaces.
[[nodiscard]] PromptQuery to_query(const DocumentSnapshot& document,
                                   const InlineCompletionParams& params, PositionEncoding encoding);

[[nodiscard]] InlineCompletionItem to_inline_item(const Offer& offer, const Document& document,
                                                  PositionEncoding encoding);

/// For the completion popup, which filters by the word before the cursor: the item replaces that
/// word by itself and the suggestion.
[[nodiscard]] CompletionItem to_popup_item(const Offer& offer, const Document& document,
                                           PositionEncoding encoding);

}  // namespace caretd::lsp
