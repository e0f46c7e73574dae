// From a conversation to the prompt of the next reply.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"
#include "support/result.h"

namespace caretd::engine {

struct ChatMessage {
  ChatRole role = ChatRole::user;
  std::string content;  ///< plain text: control strings in it are never parsed
  /// The tokens the model generated for this reply, where they are at hand: they are put in the
  /// prompt instead of `content`, so that the next turn finds the KV of this one. Else empty.
  std::vector<TokenId> generated;
};

/// The prompt up to where the reply begins. There is no space after the last "Assistant:": the
/// model begins its reply with one (reply_content takes it off).
[[nodiscard]] Prompt chat_prompt(const ChatForm& form, std::span<const ChatMessage> messages);

/// What a generated reply says: without the space that the template would put before it.
[[nodiscard]] std::string_view reply_content(const ChatForm& form, std::string_view generated);

/// Which messages of a conversation a model is shown.
struct ConversationCut {
  std::vector<std::size_t> kept;  ///< indices, ascending
  int tokens = 0;                 ///< of the kept messages
  bool fits = false;              ///< false: system messages and last turn alone are too long
};

/// The rule for conversations that outgrow the model: whole turns are left out, the oldest first;
/// system messages and the last turn always stay. A turn is a user message and what follows it up
/// to the next one. `tokens[i]` is the length of message i. Pure.
[[nodiscard]] ConversationCut cut_conversation(std::span<const ChatRole> roles,
                                               std::span<const int> tokens, int budget);

/// A conversation that fits.
struct FittedChat {
  Prompt prompt;
  int tokens = 0;                 ///< of the whole prompt
  std::vector<std::size_t> kept;  ///< indices of the messages that are in it, ascending
};

/// The prompt of as much of the conversation as `budget` tokens hold, by the rule above.
/// ErrorKind::invalid_input, saying what to do, if not even the last turn fits.
[[nodiscard]] Result<FittedChat> fit_chat(const Tokenizer& tokenizer, const ChatForm& form,
                                          std::span<const ChatMessage> messages, int budget);

}  // namespace caretd::engine
