// The plain fill-in-the-middle prompt: begin prefix hole suffix end, cut to a budget.
#pragma once

#include "lsp/context/prompt_parts.h"

namespace caretd::lsp {

/// Prefix and suffix in whole lines nearest the hole (within a line only where that line alone is
/// over the budget). The last token before the hole is left to healing. Without FIM the prompt is
/// the prefix alone, left to right. A pure function; any thread.
[[nodiscard]] CompletionPrompt build_plain_prompt(const PromptQuery& query,
                                                  const PromptBudget& budget,
                                                  const engine::Tokenizer& tokenizer,
                                                  bool fill_in_the_middle);

/// `text` without its last token, and that token's bytes: what healing forces. A token that ends a
/// line is left alone, for no other token could begin with it.
struct HealedText {
  std::string_view kept;
  std::string_view healed;
};
[[nodiscard]] HealedText split_for_healing(std::string_view text,
                                           const engine::Tokenizer& tokenizer);

}  // namespace caretd::lsp
