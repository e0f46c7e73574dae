// Where the statement or the block that a completion writes is over, by the tokens of the source.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "lsp/context/completion_site.h"
#include "lsp/syntax/growing_source.h"

namespace caretd::lsp {

struct SyntacticEnd {
  std::size_t offset;       ///< byte of the source
  std::string_view reason;  ///< as SyntaxStopRule names it
};

/// `source` is the site's excerpt with what was generated behind it. Nothing where it may go on.
/// `most_lines` of a statement or block, the hole's own included.
[[nodiscard]] std::optional<SyntacticEnd> find_syntactic_end(const CompletionSite& site,
                                                             int most_lines, GrowingSource& source);

}  // namespace caretd::lsp
