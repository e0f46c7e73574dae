// Small types that every part of the engine and its callers share.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace caretd::engine {

/// Index of a row of the embedding table. Ids at or above the tokenizer's size are padding rows.
using TokenId = std::int32_t;

/// Tokens with a meaning to the engine. A model may lack some of them (Tokenizer::control).
enum class ControlToken : std::uint8_t {
  begin_of_sentence,
  end_of_sentence,
  fim_begin,
  fim_hole,
  fim_end,
  user,       ///< <｜User｜>, DeepSeek-V2.5 chat form only
  assistant,  ///< <｜Assistant｜>, DeepSeek-V2.5 chat form only
};

/// One piece of a prompt. Text is encoded as the plain text it is: control-token strings inside
/// it are never parsed. Ids are taken as they are (already encoded, or token ids of a cached file).
using PromptPart = std::variant<std::string, ControlToken, std::vector<TokenId>>;

/// Pieces in order; the engine adds nothing, so a prompt that needs begin_of_sentence says so.
using Prompt = std::vector<PromptPart>;

/// Scheduling classes, most urgent first. A step that serves a more urgent class is never delayed
/// by more than the step in progress.
enum class Priority : std::uint8_t { keystroke, chat, background };

}  // namespace caretd::engine
