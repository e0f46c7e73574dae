// Brackets and quotes of a completion against those around its place.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lsp/context/completion_site.h"

namespace caretd::lsp {

struct Closers {
  std::size_t valid = 0;      ///< bytes of the completion in front of a closer that nothing opened
  int closed = 0;             ///< brackets open at the hole that it closes
  bool quote_closed = false;  ///< the string the hole is in ends
  std::string left_open;      ///< brackets it opens and does not close, outermost first
};

[[nodiscard]] Closers match_closers(const CompletionSite& site, std::string_view completion);

/// Whether the closer at `offset` ends a pattern of the shell's `case`, which nothing opens.
[[nodiscard]] bool ends_case_pattern(const Language& language, std::string_view source,
                                     std::size_t offset);

/// How many of the replaceable bytes behind the hole the completion has written itself.
[[nodiscard]] std::size_t replaced_bytes(const CompletionSite& site, const Closers& closers,
                                         std::string_view completion);

}  // namespace caretd::lsp
