// From what the model wrote to what the editor shows: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lsp/context/completion_site.h"

namespace caretd::lsp {

/// What is inserted at the hole, in place of `replaced` bytes behind it (on the hole's line).
struct Insertion {
  std::string text;
  std::size_t replaced = 0;

  friend bool operator==(const Insertion&, const Insertion&) = default;
};

/// Cuts what must not be shown (control tokens spelled out, broken characters, text the document
/// has behind the hole anyway, brackets that nothing opened), takes over the file's indentation and
/// line ends, and balances closers against those behind the hole. Nothing where no text worth
/// showing is left: white space, the line above again, what is there already. `control_texts` are
/// the strings of the tokenizer's control tokens.
[[nodiscard]] std::optional<Insertion> finish_completion(
    const CompletionSite& site, std::string_view generated,
    std::span<const std::string> control_texts);

/// Whether a completion may be asked for without the user's request: not inside a word.
[[nodiscard]] bool may_ask_automatically(const CompletionSite& site);

}  // namespace caretd::lsp
