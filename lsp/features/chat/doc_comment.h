// Documentation as a language writes it.
#pragma once

#include <string>
#include <string_view>

#include "lsp/features/chat/reply_edit.h"
#include "support/result.h"

namespace caretd::lsp {

/// Prose as the documentation of the site's target: a doc string in a Python body, else a comment
/// above it, wrapped at 80 columns. Documentation that a Python body has already is replaced. An
/// Error where the language has no comments, or the prose would end the comment.
[[nodiscard]] Result<ReplyEdit> doc_comment(const EditSite& site, std::string_view prose);

}  // namespace caretd::lsp
