// From the parts of a prompt to token ids.
#pragma once

#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

/// Fails, in one sentence, on a control token that the model lacks, on ids that do not exist and
/// on an empty prompt. Thread-safe.
[[nodiscard]] Result<std::vector<TokenId>> encode_prompt(const Prompt& prompt,
                                                         const Tokenizer& tokenizer);

}  // namespace caretd::engine
