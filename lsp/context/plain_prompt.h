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

}  // namespace caretd::lsp
