// Indentation in the file's own style.
#pragma once

#include <string>
#include <string_view>

#include "lsp/context/completion_site.h"

namespace caretd::lsp {

/// The completion with the white space its lines begin with written as the file writes it: tabs or
/// spaces. The first line counts only where the hole's line is blank in front of the hole. Text
/// inside a doc string or comment is left alone, and all of it in a file that indents nothing yet.
[[nodiscard]] std::string reindented(const CompletionSite& site, std::string_view completion);

}  // namespace caretd::lsp
