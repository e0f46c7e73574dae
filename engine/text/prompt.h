// From the parts of a prompt to token ids.
#pragma once

#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// The ids of all parts in order. Neighbouring texts are encoded as the one text they make; ids
/// are taken as they are. ErrorKind::unsupported if the tokenizer lacks a control token.
[[nodiscard]] Result<std::vector<TokenId>> encode_prompt(const Tokenizer& tokenizer,
                                                         const Prompt& prompt);

}  // namespace caretd::engine
