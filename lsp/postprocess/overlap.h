// What a completion must not repeat: text that the document has behind the hole.
#pragma once

#include <string>
#include <string_view>

#include "lsp/context/completion_site.h"

namespace caretd::lsp {

/// Cuts the completion where its last lines are the next lines of the document. The last of them
/// may be cut short (the token budget was reached).
void cut_lines_that_follow(std::string& completion, const CompletionSite& site);

/// Where the completion, which may still grow, has come to the text that follows on the hole's
/// line; npos where it has not, or that text is too short to tell.
[[nodiscard]] std::size_t find_rest_of_line(std::string_view completion,
                                            const CompletionSite& site);

/// Where text that is not replaceable follows on the hole's line: keeps the completion on that line
/// and cuts the beginning of that text from its
/// end: whole words of it.
void cut_rest_of_line(std::string& completion, const CompletionSite& site);

}  // namespace caretd::lsp
