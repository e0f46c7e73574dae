// What the user adds to a question: code and diagnostics, as text of the message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace caretd::lsp {

enum class ContextKind : std::uint8_t { selection, file, diagnostics };
[[nodiscard]] std::string_view to_string(ContextKind kind);
/// The other way; a file for what is neither of the others.
[[nodiscard]] ContextKind kind_of_context(std::string_view name);

/// One piece, taken out of its document.
struct ContextItem {
  ContextKind kind = ContextKind::file;
  std::string uri;
  std::string name;      ///< as the prompt calls it: the path in the workspace
  std::string language;  ///< of the code fence; empty for diagnostics
  std::size_t line = 0;  ///< of the first line in its file, from 0
  std::string text;
};

/// What became of it.
struct ContextReport {
  ContextKind kind = ContextKind::file;
  std::string uri;
  int tokens = 0;        ///< that went into the prompt
  int total_tokens = 0;  ///< of the whole piece; 0 where it was not looked at
  std::string left_out;  ///< why not all of it is there, in a word; empty: it is
};

struct ContextText {
  std::string text;  ///< to put in front of the question; ends with an empty line unless empty
  std::vector<ContextReport> reports;
};

/// Writes the items in their order while they fit into `budget` tokens: whole if that is possible,
/// else the file's first lines ("cut"), else not at all ("noRoom"). Secrets in them are redacted.
/// Pure.
[[nodiscard]] ContextText write_context(const std::vector<ContextItem>& items, int budget,
                                        const engine::Tokenizer& tokenizer);

/// `code` in a fence that nothing in it can end.
[[nodiscard]] std::string fenced(std::string_view code, std::string_view language);

}  // namespace caretd::lsp
