// The fill-in-the-middle prompt, and what is done about the token the cursor cuts through.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace caretd::engine {

/// What stands around the hole; each a text or the ids of one.
struct FimParts {
  PromptPart prefix;
  PromptPart suffix;
  /// The forced beginning of the middle: what is typed already on the line of the cursor where
  /// `prefix` ends at the start of that line. Often empty.
  PromptPart typed;
};

/// True if the tokenizer has the three tokens. Models may have them and be trained without:
/// ModelConfig::trained_without_fim().
[[nodiscard]] bool has_fim_tokens(const Tokenizer& tokenizer);

/// begin_of_sentence fim_begin prefix fim_hole suffix fim_end typed (prefix-suffix-middle order,
/// DeepSeek-Coder-V2 paper, section 3.1).
[[nodiscard]] Prompt fim_prompt(FimParts parts);

/// begin_of_sentence prefix typed, for models without FIM. The suffix is left out.
[[nodiscard]] Prompt left_to_right_prompt(FimParts parts);

/// A text before the cursor with its last tokens taken off.
struct HealedTokens {
  std::vector<TokenId> kept;
  std::string forced_prefix;  ///< the bytes taken off: GenerationRequest::forced_prefix
};

/// Token healing. The cursor may stand within what the model knows as one token; the last token
/// before it is dropped and its bytes are forced instead, so that the model may choose any token
/// that begins with them. Where a longer token begins with the last few tokens (" js" "o" and
/// " json"), all of those are dropped. Nothing is dropped after a line end that always is a token
/// of its own.
[[nodiscard]] HealedTokens heal(const Tokenizer& tokenizer, std::string_view text);

}  // namespace caretd::engine
