// From the fields of a request to its prompt. Pure; any thread.
#pragma once

#include <string>

#include "daemon/http/api_error.h"
#include "daemon/http/requests.h"
#include "engine/engine.h"

namespace caretd::daemon::api {

/// What prompts are made for. They become token ids for a model of this process, and stay text for
/// one elsewhere, which encodes them itself.
struct PromptTarget {
  const engine::Tokenizer* tokenizer = nullptr;  ///< may be null for a model elsewhere
  const engine::ModelInfo& model;
};

struct BuiltPrompt {
  engine::Prompt parts;       ///< GenerationRequest::prompt; ids are one part
  std::string forced_prefix;  ///< GenerationRequest::forced_prefix
  bool truncated = false;     ///< something was left out to fit the context
};

/// One prompt of a completion request: raw, or around a hole if there is a suffix. What does not
/// fit into the context is an error ("context_length_exceeded"), as it is at OpenAI.
[[nodiscard]] Parsed<BuiltPrompt> completion_prompt(const CompletionFields& fields,
                                                    const RawPrompt& prompt,
                                                    const PromptTarget& target);

/// A conversation in the model's own form. Too long a one is an error.
[[nodiscard]] Parsed<BuiltPrompt> conversation_prompt(const ChatFields& fields,
                                                      const PromptTarget& target);

/// Around a hole, with pieces of other files in front. As llama.cpp does, it is cut to the context:
/// the oldest pieces go first, then what is farthest from the hole. For a model that does not fill
/// in the middle, what is in front of the hole: editors ask for what can be typed there.
[[nodiscard]] Parsed<BuiltPrompt> infill_prompt(const InfillFields& fields,
                                                const PromptTarget& target);

}  // namespace caretd::daemon::api
