// The source in front of the hole that decisions about its place look at.
#pragma once

#include <cstddef>
#include <string>

#include "lsp/context/prompt_parts.h"
#include "lsp/syntax/syntax_tree.h"

namespace caretd::lsp {

/// It is parsed again while tokens arrive, so it is short; brackets further away are rarely what a
/// completion closes.
inline constexpr std::size_t kExcerptBytes = 4000;

/// What the document has in front of the hole, from the start of the top-level node around it where
/// that is near enough. `tree` may be null.
[[nodiscard]] std::string excerpt_before(const PromptQuery& query, const Language& language,
                                         const SyntaxTree* tree);

}  // namespace caretd::lsp
